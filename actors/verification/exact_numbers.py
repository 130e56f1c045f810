r"""Exact comparison of numbers made of integers, fractions, square roots and powers of pi.

    3\sqrt{8} = \sqrt{72} = \frac{12}{\sqrt{2}} = {(2, 0): 6}        a value: (radicand, power of pi) -> coefficient

Square roots of different squarefree integers are linearly independent over the rationals, also with powers of pi as
coefficients, so two values are equal iff their forms are. This takes 20 us per answer, math-verify 25 ms. The grammar:

    sum     [-] term {(+|-) term}        term    factor {[\cdot|\times] factor} [/ integer]
    factor  number | \frac{sum}{sum} | \frac12 | \sqrt{integer} | \sqrt2 | \pi | \pi^2 | \pi^{2} | (sum)
"""

import re
from dataclasses import dataclass
from fractions import Fraction

Value = dict[tuple[int, int], Fraction]

MAX_CHARS = 120
MAX_RADICAND = 10**6
"""Bounds the search for the squarefree part to 1000 divisions."""
MAX_TERMS = 8
_TOKEN = re.compile(
    r"\s*(\\frac(?=\s*\{)|\\frac\s*[0-9][0-9](?![0-9])|\\sqrt\s*\{\s*[0-9]{1,7}\s*\}|\\sqrt\s*[0-9](?![0-9])"
    r"|\\pi(?![a-zA-Z])|\^\s*[0-9]|\^\s*\{\s*[0-9]\s*\}|\\cdot(?![a-zA-Z])|\\times(?![a-zA-Z])"
    r"|[0-9]{1,18}\.[0-9]{1,18}|[0-9]{1,18}(?![0-9.])|[-+/(){}])\s*"
)


class NotPlain(Exception):
    """The text does not match the grammar, or a number exceeds a limit."""


@dataclass
class _Reader:
    tokens: list[str]
    position: int = 0
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
        sign = -1 if self.peek() == "-" else 1
        if self.peek() in ("-", "+"):
            self.take()
        total = _scaled(self.term(), sign)
        while self.peek() in ("-", "+"):
            sign = -1 if self.take() == "-" else 1
            total = _added(total, _scaled(self.term(), sign))
        return total

    def term(self) -> Value:
        product = self.factor()
        while True:
            token = self.peek()
            if token in ("\\cdot", "\\times"):
                self.take()
                product = _multiplied(product, self.factor())
            elif token.startswith(("\\sqrt", "\\pi")):  # a product without a sign is unambiguous only with these
                product = _multiplied(product, self.factor())
            elif token == "/":
                self.take()
                if not self.peek().isdecimal():
                    raise NotPlain
                product = _multiplied(product, _inverse(self.factor()))
                if self.peek() not in ("", "+", "-", ")", "}"):
                    raise NotPlain
                return product
            else:
                return product

    def factor(self) -> Value:
        token = self.take()
        if token == "(":
            value = self.sum()
            self.expect(")")
            return value
        if token == "\\frac":
            self.expect("{")
            above = self.sum()
            self.expect("}")
            self.expect("{")
            below = self.sum()
            self.expect("}")
            return _multiplied(above, _inverse(below))
        if token.startswith("\\frac"):
            if token[-1] == "0":
                raise NotPlain
            return {(1, 0): Fraction(int(token[-2]), int(token[-1]))} if token[-2] != "0" else {}
        if token.startswith("\\sqrt"):
            return _root(int(token.removeprefix("\\sqrt").strip("{} \t\n")))
        if token == "\\pi":
            power = int(self.take().strip("^{} \t\n")) if self.peek().startswith("^") else 1
            return {(1, power): Fraction(1)}
        if token[:1].isdecimal():
            self.has_decimal |= "." in token
            return {(1, 0): Fraction(token)} if Fraction(token) else {}
        raise NotPlain


def read(latex: str) -> tuple[Value, bool]:
    """(value, whether the text has a decimal point). Raises `NotPlain`."""
    if len(latex) > MAX_CHARS:
        raise NotPlain
    tokens, position = [], 0
    while position < len(latex):
        match = _TOKEN.match(latex, position)
        if not match:
            raise NotPlain
        tokens.append(match[1])
        position = match.end()
    reader = _Reader(tokens)
    value = reader.sum()
    if reader.peek():
        raise NotPlain
    return value, reader.has_decimal


def compare(reference: str, answer: str) -> bool | None:
    """Whether two numbers are equal; None if one does not match the grammar, or if math-verify must decide.

    math-verify decides about decimals that are unequal by at most 1e-5 or by an irrational number, because it rounds to
    six places.
    """
    try:
        expected, reference_decimal = read(reference)
        given, answer_decimal = read(answer)
    except NotPlain:
        return None
    if expected == given:
        return True
    if not (reference_decimal or answer_decimal):
        return False
    difference = _added(expected, _scaled(given, -1))
    if set(difference) == {(1, 0)} and abs(difference[1, 0]) > Fraction(1, 10**5):
        return False
    return None


def _scaled(value: Value, factor: int | Fraction) -> Value:
    return {key: coefficient * factor for key, coefficient in value.items()}


def _added(first: Value, second: Value) -> Value:
    total = dict(first)
    for key, coefficient in second.items():
        total[key] = total.get(key, Fraction(0)) + coefficient
    if len(total) > MAX_TERMS:
        raise NotPlain
    return {key: coefficient for key, coefficient in total.items() if coefficient}


def _multiplied(first: Value, second: Value) -> Value:
    total: Value = {}
    for (n, power), a in first.items():
        for (m, other), b in second.items():
            ((radicand, _), factor), *_ = _root(n * m).items()
            total = _added(total, {(radicand, power + other): a * b * factor})
    return total


def _inverse(value: Value) -> Value:
    """1/value. Raises `NotPlain` unless the value has one term."""
    if len(value) != 1:
        raise NotPlain
    ((n, power), coefficient), *_ = value.items()
    return {(n, -power): 1 / (coefficient * n)}


def _root(n: int) -> Value:
    """sqrt(n) = factor * sqrt(squarefree part)."""
    if n > MAX_RADICAND:
        raise NotPlain
    if n == 0:
        return {}
    factor, divisor = 1, 2
    while divisor * divisor <= n:
        while n % (divisor * divisor) == 0:
            n //= divisor * divisor
            factor *= divisor
        divisor += 1
    return {(n, 0): Fraction(factor)}
