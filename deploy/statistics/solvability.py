"""Solvability: the share of hard problems with at least one success of k rollouts (paper section 2, fig. 3, 4, 6, 10).

It is measured on the training rollouts: the unbiased pass@k (`actors/evaluation/pass_at_k.py`) of each problem over its
newest unguided groups that together have k judged rollouts. These were sampled by the policies of up to the last few
epochs, so the value lags behind the policy; an evaluation measures a single policy. Pure.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from actors.evaluation.pass_at_k import pass_at_k

MIN_SHARE = 0.5
"""A window has a value once this share of the hard problems has k judged rollouts."""


class JudgedGroup(Protocol):
    """The attributes of a rollout group that solvability depends on."""

    @property
    def problem_id(self) -> str: ...
    @property
    def arm(self) -> str: ...
    @property
    def bucket(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def rollouts(self) -> int: ...
    @property
    def judged(self) -> int: ...
    @property
    def successes(self) -> int: ...


G = TypeVar("G", bound=JudgedGroup)


@dataclass(frozen=True)
class Solvability:
    """Solvability at the end of one window."""

    x: float
    """End of the window."""
    values: Mapping[str, float]
    """Hard problem with k judged rollouts -> pass@k."""

    @property
    def mean(self) -> float:
        return sum(self.values.values()) / len(self.values)


def unguided_by_step(groups: Iterable[G]) -> list[tuple[float, G]]:
    """(step, group) of the unguided groups of hard problems, ascending."""
    found = [(float(group.step), group) for group in groups if group.arm == "unguided" and group.bucket == "hard"]
    return sorted(found, key=lambda pair: pair[0])


def unguided_by_rollouts(groups: Iterable[G]) -> list[tuple[float, G]]:
    """(rollouts of all arms up to and including the group, group) of the unguided groups of hard problems."""
    num_rollouts, found = 0, []
    for group in groups:
        num_rollouts += group.rollouts
        if group.arm == "unguided" and group.bucket == "hard":
            found.append((float(num_rollouts), group))
    return found


def solvability(
    groups: Sequence[tuple[float, JudgedGroup]], num_problems: int, k: int, width: float, last: float
) -> dict[int, Solvability]:
    """Window i -> solvability at its end (i + 1) * width, for all windows that end by `last`.

    `groups`: (x, group), ascending in x. A window is left out while fewer than `MIN_SHARE` of the problems have k
    judged rollouts.
    """
    newest: dict[str, deque[JudgedGroup]] = defaultdict(deque)
    judged: dict[str, int] = defaultdict(int)
    values: dict[str, float] = {}
    by_window: dict[int, Solvability] = {}
    position = 0
    for window in range(int(last // width)):
        x = (window + 1) * width
        while position < len(groups) and groups[position][0] <= x:
            group = groups[position][1]
            position += 1
            id = group.problem_id
            newest[id].append(group)
            judged[id] += group.judged
            while judged[id] - newest[id][0].judged >= k:
                judged[id] -= newest[id].popleft().judged
            if judged[id] >= k:
                values[id] = pass_at_k(judged[id], sum(each.successes for each in newest[id]), k)
        if num_problems and len(values) >= MIN_SHARE * num_problems:
            by_window[window] = Solvability(x, dict(values))
    return by_window
