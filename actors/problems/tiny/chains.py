"""Chains of digit operations: the hard problems of the built-in domain, and its related easy ones.

An operation maps a digit x to the last digit of a*x + b. A chain of n steps starts from a digit and applies one
operation in each step. Its answer is a monomial whose exponents are all n intermediate digits, so a solution with a
wrong step cannot reach the correct answer by chance:

    Put $a=K(6)$, $b=G(a)$.  ->  $a=K(6)=4$ / $b=G(4)=0$ / The answer is $\\boxed{a^4b^0}$.

Chains are split by a hash of their content, so hard, held-out and other chains are disjoint for every seed.
"""

import itertools
import random
from dataclasses import dataclass
from typing import Literal
from zlib import crc32

from broker.errors import UsageError

OPERATIONS: dict[str, tuple[int, int]] = {"F": (3, 1), "G": (7, 2), "H": (9, 4), "K": (3, 6)}
"""Name -> (a, b) of the last digit of a*x + b."""
VARIABLES = "abcdfghj"
"""Names of the intermediate digits, without e, i, l and o."""
MAX_STEPS = len(VARIABLES)

Split = Literal["hard", "held_out", "other"]

_DEFINITIONS = (
    "Four operations act on a digit and keep only the last digit of the result. F multiplies by three and adds one, "
    "G multiplies by seven and adds two, H multiplies by nine and adds four, K multiplies by three and adds six."
)


@dataclass(frozen=True)
class Chain:
    """A starting digit and the operation of each step."""

    start: int
    operations: str
    """The operations F, G, H or K of 1 to 8 steps."""

    @property
    def statement(self) -> str:
        inputs = [str(self.start), *VARIABLES]
        puts = ", ".join(
            f"${name}={operation}({value})$"
            for name, operation, value in zip(VARIABLES, self.operations, inputs, strict=False)
        )
        return f"{_DEFINITIONS}\n\nPut {puts}. Find the monomial with these exponents."

    @property
    def digits(self) -> list[int]:
        """The digit after each step."""
        digits, value = [], self.start
        for operation in self.operations:
            value = apply(operation, value)
            digits.append(value)
        return digits

    @property
    def answer(self) -> str:
        return monomial(self.digits)

    @property
    def solution(self) -> str:
        return "\n".join([*self.lines(self.digits), final_line(self.answer)])

    def lines(self, digits: list[int]) -> list[str]:
        """One line per step with the given intermediate digits, which may be wrong."""
        inputs = [self.start, *digits]
        return [
            f"${name}={operation}({value})={digit}$"
            for name, operation, value, digit in zip(VARIABLES, self.operations, inputs, digits, strict=False)
        ]

    @property
    def split(self) -> Split:
        """1/8 of all chains are hard, 1/8 held out, the rest other (easy problems and the base model's corpus)."""
        bucket = crc32(f"{self.start}{self.operations}".encode()) % 8
        return "hard" if bucket == 0 else "held_out" if bucket == 1 else "other"


def apply(operation: str, value: int) -> int:
    """The last digit of a*value + b."""
    a, b = OPERATIONS[operation]
    return (a * value + b) % 10


def monomial(digits: list[int]) -> str:
    """[4, 0] -> 'a^4b^0'."""
    return "".join(f"{name}^{digit}" for name, digit in zip(VARIABLES, digits, strict=False))


def final_line(answer: str) -> str:
    """The last line of the solution of a chain."""
    return f"The answer is $\\boxed{{{answer}}}$."


def draw_chain(rng: random.Random, steps: int) -> Chain:
    return Chain(rng.randrange(10), "".join(rng.choices(list(OPERATIONS), k=steps)))


def distinct_chains(split: Split, steps: tuple[int, ...], count: int, rng: random.Random) -> list[Chain]:
    """`count` different chains of one split whose numbers of steps are in `steps`, in random order.

    Raises UsageError when there are not enough.
    """
    if max(steps) <= 4:  # at most 10 * 4^4 chains per length: they are listed, so that all of them can be drawn
        pool = [
            chain
            for n in steps
            for operations in itertools.product(OPERATIONS, repeat=n)
            for start in range(10)
            if (chain := Chain(start, "".join(operations))).split == split
        ]
        if count > len(pool):
            raise UsageError(
                f"the built-in domain has {len(pool)} {split} chains of {' or '.join(map(str, steps))} steps, "
                f"{count} were asked for; ask for fewer problems or longer chains"
            )
        return rng.sample(pool, count)
    available = sum(10 * 4**n for n in steps) // 16  # half of an average split, so that rejection sampling stays fast
    if count > available:
        raise UsageError(f"{count} chains of {steps[-1]} steps are too many; ask for at most {available} chains")
    chains: dict[Chain, None] = {}
    while len(chains) < count:
        chain = draw_chain(rng, rng.choice(steps))
        if chain.split == split:
            chains[chain] = None
    return list(chains)
