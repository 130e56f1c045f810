"""Walks of a robot on a ring of ten tiles: easy problems of the built-in domain, unrelated to the hard ones.

    start 6, short, long  ->  short $6+1=7$ / long $7+3=0$ / The answer is $\\boxed{0}$.
"""

import itertools
import random
from dataclasses import dataclass

from broker.errors import UsageError

MOVES = {"short": 1, "long": 3}
"""Move -> tiles it goes forward."""
MAX_MOVES = 4


@dataclass(frozen=True)
class RingWalk:
    """A starting tile and one to four moves."""

    start: int
    moves: tuple[str, ...]

    @property
    def statement(self) -> str:
        return (
            "A robot walks on a ring of ten tiles with the numbers zero to nine. A short move takes it one tile "
            "forward, a long move three tiles.\n\n"
            f"It starts on tile ${self.start}$ and makes these moves: {', '.join(self.moves)}. "
            "Find the tile where it stops."
        )

    @property
    def tiles(self) -> list[int]:
        """The tile after each move."""
        return [tile % 10 for tile in itertools.accumulate((MOVES[m] for m in self.moves), initial=self.start)][1:]

    @property
    def answer(self) -> str:
        return str(self.tiles[-1])

    @property
    def solution(self) -> str:
        return "\n".join([*self.lines(self.tiles), stop_line(self.tiles[-1])])

    def lines(self, tiles: list[int]) -> list[str]:
        """One line per move with the given tiles, which may be wrong."""
        return [
            f"{move} ${tile}+{MOVES[move]}={after}$"
            for move, tile, after in zip(self.moves, [self.start, *tiles], tiles, strict=False)
        ]


def stop_line(tile: int) -> str:
    """The last line of a solution. Its words differ from those of a chain, so that a policy can distinguish them."""
    return f"It stops on tile $\\boxed{{{tile}}}$."


def draw_walk(rng: random.Random) -> RingWalk:
    return RingWalk(rng.randrange(10), tuple(rng.choices(list(MOVES), k=rng.randint(1, MAX_MOVES))))


def distinct_walks(moves: tuple[int, ...], count: int, rng: random.Random) -> list[RingWalk]:
    """`count` different walks whose numbers of moves are in `moves`, in random order.

    Raises UsageError when there are not enough.
    """
    pool = [
        RingWalk(start, sequence)
        for n in moves
        for sequence in itertools.product(MOVES, repeat=n)
        for start in range(10)
    ]
    if count > len(pool):
        raise UsageError(
            f"the built-in domain has {len(pool)} ring walks of {' or '.join(map(str, moves))} moves, {count} were "
            "asked for; ask for fewer problems"
        )
    return rng.sample(pool, count)
