r"""Exact comparison of numbers made of integers, decimals, powers, roots, factorials, binomials, i and powers of pi.

    3\sqrt{8} = \sqrt{72} = \frac{12}{\sqrt{2}} = {(2, 0): 6}        a value: (radicand, power of pi) -> coefficient

Square roots of different squarefree integers are linearly independent over the rationals, also with powers of pi as
coefficients, so two values are equal iff their forms are. The radicand of i is -1. This takes 30 us per answer,
math-verify 25 ms, and rounds nothing: 2^{-60} and 2^{-61} differ. The grammar:

    sum      [+|-] term {(+|-) term}      term      power {[\cdot|\times] power} [/ power]
    power    atom {!} [^ arg]             arg       {sum} | digit | \pi | i
    atom     number | i | \pi | \frac arg arg | \binom arg arg | \sqrt arg | \sqrt[sum] arg | (sum) | {sum}
    number   12 | 0.5 | .5 | 2\frac13 | 0.1\overline{6} | 0.1\dot{6} | 0.1(6)

A product needs a sign unless the second factor begins with a command, i or a parenthesis.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction

Value = dict[tuple[int, int], Fraction]

MAX_CHARS = 300
MAX_DEPTH = 20
MAX_RADICAND = 10**6
"""Bounds the search for the squarefree part to 1000 divisions."""
MAX_TERMS = 8
MAX_BITS = 40_000
r"""Longest numerator or denominator, in bits: 10^{9999}, 2000! and \binom{30000}{15000} are shorter."""
MAX_WORK = 1_000_000
"""Bits of all factors that are multiplied for one text, which bounds its time to a few milliseconds."""
MIN_PLACES = 6
"""Decimal places of a decimal that may stand for the number it is rounded from; and at least `MIN_DIGITS` digits."""
MIN_DIGITS = 4
MAX_PLACES = 12
"""Further places are not compared; they may be the error of a floating-point number."""

_DOTTED = r"\\dot\s*(?:[0-9]|\{\s*[0-9]\s*\})"
_TOKEN = re.compile(
    r"\s*(\\(?:frac|sqrt|binom|pi|cdot|times)(?![a-zA-Z])"
    rf"|[0-9]*\.[0-9]*(?:\\(?:overline|bar)\s*(?:\{{\s*[0-9]+\s*\}}|[0-9])|\([0-9]+\)|{_DOTTED}(?:[0-9]*{_DOTTED})?)"
    r"|[0-9]*\.[0-9]+(?![0-9.])|[0-9]+(?![0-9.])|i(?![a-zA-Z])|[-+/(){}\[\]^!])\s*"
)
_REPEATING = re.compile(r"([0-9]*)\.([0-9]*)[\\(](.*)", re.DOTALL)
_DECIMAL = re.compile(r"\s*[+-]?\s*[0-9]*\.([0-9]+)\s*")
_PI = Fraction("3.14159265358979323846264338327950288419716939937510582097494459")
_ROOT_DIGITS = 10**40


class NotPlain(Exception):
    """The text does not match the grammar, or a number exceeds a limit."""


@dataclass
class _Reader:
    tokens: list[str]
    position: int = 0
    depth: int = 0
    work: int = 0
    has_decimal: bool = False

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise NotPlain

    def sum(self) -> Value:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise NotPlain
        total: Value = {}
        sign = self.take() if self.peek() in ("-", "+") else "+"
        while sign:
            total = _added(total, _scaled(self.term(), -1 if sign == "-" else 1))
            sign = self.take() if self.peek() in ("-", "+") else ""
        self.depth -= 1
        return total

    def term(self) -> Value:
        product = self.power()
        while True:
            token = self.peek()
            if token in ("\\cdot", "\\times"):
                self.take()
                product = self.product(product, self.power())
            elif token.startswith("\\") or token in ("i", "("):
                product = self.product(product, self.power())
            elif token == "/":
                self.take()
                product = self.product(product, self.inverse(self.power()))
                if self.peek() not in ("", "+", "-", ")", "}", "]"):  # 1/2\pi could be meant either way
                    raise NotPlain
                return product
            else:
                return product

    def power(self) -> Value:
        base = self.atom()
        while self.peek() == "!":
            self.take()
            base = _factorial(base)
            if self.peek() == "!":  # a double factorial
                raise NotPlain
        if self.peek() == "^":
            self.take()
            base = self.raised(base, self.argument())
            if self.peek() in ("^", "!"):
                raise NotPlain
        return base

    def atom(self) -> Value:
        token = self.take()
        if token in ("(", "{"):
            value = self.sum()
            self.expect(")" if token == "(" else "}")
            return value
        if token == "\\frac":
            above = self.argument()
            return self.product(above, self.inverse(self.last_argument()))
        if token == "\\binom":
            return _binomial(self.argument(), self.last_argument())
        if token == "\\sqrt":
            return self.root()
        if token == "\\pi":
            return {(1, 1): Fraction(1)}
        if token == "i":
            return {(-1, 0): Fraction(1)}
        if token[:1].isdecimal() or token[:1] == ".":
            return self.number(token)
        raise NotPlain

    def number(self, token: str) -> Value:
        if repeating := _REPEATING.fullmatch(token):
            return _rational(_repeating(repeating))
        if "." in token:
            self.has_decimal = True
        elif self.peek() == "\\frac":  # a mixed number
            fraction = self.atom()
            if set(fraction) != {(1, 0)} or not 0 < fraction[1, 0] < 1:
                raise NotPlain
            return _added(_rational(Fraction(token)), fraction)
        return _rational(Fraction(token))

    def root(self) -> Value:
        degree = 2
        if self.peek() == "[":
            self.take()
            degree = _whole(self.sum())
            self.expect("]")
        return _root_of(_only_rational(self.last_argument()), degree)

    def argument(self) -> Value:
        """A group in braces, or the next digit: `\\frac12` has the arguments 1 and 2."""
        if self.peek() == "{":
            return self.atom()
        token = self.take()
        if token in ("\\pi", "i"):
            return {(1, 1) if token == "\\pi" else (-1, 0): Fraction(1)}
        if not token.isdecimal():
            raise NotPlain
        if len(token) > 1:
            self.position -= 1
            self.tokens[self.position] = token[1:]
        return _rational(Fraction(token[0]))

    def last_argument(self) -> Value:
        """An argument that no digit follows: `\\frac123` could be meant either way."""
        value = self.argument()
        if self.peek()[:1].isdecimal():
            raise NotPlain
        return value

    def product(self, first: Value, second: Value) -> Value:
        self.work += _num_bits(first) * len(second) + _num_bits(second) * len(first)
        if self.work > MAX_WORK:
            raise NotPlain
        return multiplied(first, second)

    def inverse(self, value: Value) -> Value:
        """1/value. Raises `NotPlain` if the value is 0 or has more than two terms."""
        if len(value) == 1:
            ((n, power), coefficient), *_ = value.items()
            return {(n, -power): 1 / (coefficient * n)}
        if len(value) != 2:
            raise NotPlain
        (first, a), (second, b) = value.items()
        conjugate = {first: a, second: -b}
        norm = self.product(value, conjugate)
        if len(norm) != 1:
            raise NotPlain
        return self.product(conjugate, self.inverse(norm))

    def raised(self, base: Value, exponent_value: Value) -> Value:
        exponent = _only_rational(exponent_value)
        if not base and exponent <= 0:
            raise NotPlain
        if exponent < 0:
            base, exponent = self.inverse(base), -exponent
        if exponent.denominator > 1:
            base, exponent = _root_of(_only_rational(base), exponent.denominator), Fraction(exponent.numerator)
        size = max((max(c.numerator.bit_length(), c.denominator.bit_length()) - 1 for c in base.values()), default=0)
        if (size + len(base) - 1) * exponent > MAX_BITS:
            raise NotPlain
        result: Value = _rational(Fraction(1))
        for bit in bin(int(exponent))[2:]:
            result = self.product(result, result)
            if bit == "1":
                result = self.product(result, base)
        return result


def read(latex: str) -> tuple[Value, bool]:
    """(value, whether the text has a decimal that ends). Raises `NotPlain`."""
    if len(latex) > MAX_CHARS:
        raise NotPlain
    tokens, position = [], 0
    while position < len(latex):
        match = _TOKEN.match(latex, position)
        if not match:
            raise NotPlain
        tokens.append(match[1])
        position = match.end()
        if match[1].isdecimal() and match[0][-1:].isspace() and latex[position : position + 1].isdecimal():
            raise NotPlain
    reader = _Reader(tokens)
    value = reader.sum()
    if reader.peek():
        raise NotPlain
    return value, reader.has_decimal


def compare(reference: str, answer: str) -> bool | None:
    """Whether two numbers are equal; None if one does not match the grammar.

    A decimal of at least `MIN_PLACES` places equals the number that it is rounded or cut from: 0.333333 is 1/3.
    """
    try:
        expected, given = read(reference)[0], read(answer)[0]
    except NotPlain:
        return None
    return expected == given or _is_rounded(reference, expected, given) or _is_rounded(answer, given, expected)


def _is_rounded(latex: str, decimal: Value, exact: Value) -> bool:
    match = _DECIMAL.fullmatch(latex)
    number = approximated(exact)
    if not match or number is None or len(match[1]) < MIN_PLACES:
        return False
    digits = re.sub("[^0-9]", "", latex).lstrip("0")
    if set(exact) <= {(1, 0)} and (number * 10 ** len(match[1])).denominator == 1:
        return False  # it could have been written exactly
    unit = Fraction(1, 10 ** min(len(match[1]), MAX_PLACES))
    written = decimal.get((1, 0), Fraction(0))
    is_cut = written * number > 0 and 0 <= abs(number) - abs(written) < unit
    return len(digits) >= MIN_DIGITS and (is_cut or abs(number - written) <= unit / 2)


def approximated(value: Value) -> Fraction | None:
    """A real value with a relative error of about 1e-40; None if it is complex."""
    if any(n < 0 for n, _ in value):
        return None
    terms = (
        coefficient * Fraction(math.isqrt(n * _ROOT_DIGITS**2), _ROOT_DIGITS) * _PI**power
        for (n, power), coefficient in value.items()
    )
    return sum(terms, Fraction(0))


def multiplied(first: Value, second: Value) -> Value:
    total: Value = {}
    for (n, power), a in first.items():
        for (m, other), b in second.items():
            common = math.gcd(n, m)  # both are squarefree, so n*m = common**2 times a squarefree number
            sign = -1 if n < 0 and m < 0 else 1
            radicand = n * m // common**2
            total = _added(total, {(radicand, power + other): a * b * common * sign})
    return total


def _rational(number: Fraction) -> Value:
    return {(1, 0): number} if number else {}


def _repeating(match: re.Match[str]) -> Fraction:
    r"""0.1\overline{6} -> 1/6; between two dots is the period."""
    whole, fixed = match[1], match[2]
    period = re.sub("[^0-9]", "", match[3])
    shifted = int((whole + fixed + period) or 0) - int((whole + fixed) or 0)
    return Fraction(shifted, 10 ** len(fixed) * (10 ** len(period) - 1))


def _only_rational(value: Value) -> Fraction:
    if set(value) - {(1, 0)}:
        raise NotPlain
    return value.get((1, 0), Fraction(0))


def _whole(value: Value) -> int:
    number = _only_rational(value)
    if number.denominator != 1 or number < 0:
        raise NotPlain
    return int(number)


def _factorial(value: Value) -> Value:
    n = _whole(value)
    if n * n.bit_length() > MAX_BITS:
        raise NotPlain
    return _rational(Fraction(math.factorial(n)))


def _binomial(above: Value, below: Value) -> Value:
    n, k = _whole(above), _whole(below)
    if min(n, min(k, abs(n - k)) * n.bit_length()) > MAX_BITS:
        raise NotPlain
    return _rational(Fraction(math.comb(n, k)))


def _scaled(value: Value, factor: int | Fraction) -> Value:
    return {key: coefficient * factor for key, coefficient in value.items()}


def _added(first: Value, second: Value) -> Value:
    total = dict(first)
    for key, coefficient in second.items():
        total[key] = total.get(key, Fraction(0)) + coefficient
    if len(total) > MAX_TERMS or _num_bits(total) > 2 * MAX_BITS:
        raise NotPlain
    return {key: coefficient for key, coefficient in total.items() if coefficient}


def _num_bits(value: Value) -> int:
    return sum(c.numerator.bit_length() + c.denominator.bit_length() for c in value.values())


def _root_of(number: Fraction, degree: int) -> Value:
    """The real root of a number that is not negative. Raises `NotPlain` if it is no sum of square roots."""
    if number < 0 or not 1 < degree <= 64:
        raise NotPlain
    above, below = _whole_root(number.numerator, degree), _whole_root(number.denominator, degree)
    if above is not None and below is not None:
        return _rational(Fraction(above, below))
    if degree == 4 or degree == 6:
        root = _root_of(number, degree // 2)
        return _root_of(_only_rational(root), 2)
    if degree != 2:
        raise NotPlain
    factor, radicand = _squarefree(number.numerator * number.denominator)
    return {(radicand, 0): Fraction(factor, number.denominator)}


def _whole_root(n: int, degree: int) -> int | None:
    """The integer whose power is n; None if there is none."""
    if degree == 2:
        root = math.isqrt(n)
    elif n.bit_length() > 1000:
        raise NotPlain
    else:
        root = round(n ** (1 / degree))
    return root if root**degree == n else None


def _squarefree(n: int) -> tuple[int, int]:
    """n = factor**2 * radicand."""
    if n > MAX_RADICAND:
        raise NotPlain
    factor, divisor = 1, 2
    while divisor * divisor <= n:
        while n % (divisor * divisor) == 0:
            n //= divisor * divisor
            factor *= divisor
        divisor += 1
    return factor, n
