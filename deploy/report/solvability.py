"""Solvability: the share of hard problems with at least one success of k rollouts (paper section 2, fig. 3, 4, 6, 10).

Training itself is the measurement: of every problem the newest unguided rollouts count, as many whole groups as hold k
judged ones, and pass@k of those is the unbiased estimate of `pass_at_k.py`. They were written by the policies
of up to the last few epochs, so the value trails the policy; an evaluation asks one policy.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from actors.evaluation.pass_at_k import pass_at_k
from deploy.report.run_records import Group

SEEN = 0.5
"""There is a value once this share of the hard problems has k rollouts."""


@dataclass(frozen=True)
class Moment:
    """Solvability by the end of one window."""

    x: float
    values: Mapping[str, float]
    """Hard problem with k judged rollouts -> pass@k."""

    @property
    def mean(self) -> float:
        return sum(self.values.values()) / len(self.values)


def unguided_by_step(groups: Iterable[Group]) -> list[tuple[float, Group]]:
    """(step, group) of the unguided groups of hard problems, ascending."""
    found = [(float(group.step), group) for group in groups if group.arm == "unguided" and group.bucket == "hard"]
    return sorted(found, key=lambda pair: pair[0])


def unguided_by_rollouts(groups: Iterable[Group]) -> list[tuple[float, Group]]:
    """(rollouts of all arms spent until it ended, group) of the unguided groups of hard problems."""
    spent, found = 0, []
    for group in groups:
        spent += group.rollouts
        if group.arm == "unguided" and group.bucket == "hard":
            found.append((float(spent), group))
    return found


def solvability(
    groups: Sequence[tuple[float, Group]], num_problems: int, k: int, width: float, last: float
) -> dict[int, Moment]:
    """Window i -> solvability by its end (i + 1) width, for all windows that end by `last`.

    `groups` ascend. A window is left out while fewer than `SEEN` of the problems have k judged rollouts.
    """
    kept: dict[str, deque[Group]] = defaultdict(deque)
    judged: dict[str, int] = defaultdict(int)
    values: dict[str, float] = {}
    moments: dict[int, Moment] = {}
    position = 0
    for window in range(int(last // width)):
        x = (window + 1) * width
        while position < len(groups) and groups[position][0] <= x:
            group = groups[position][1]
            position += 1
            newest, id = kept[group.problem_id], group.problem_id
            newest.append(group)
            judged[id] += group.judged
            while judged[id] - newest[0].judged >= k:
                judged[id] -= newest.popleft().judged
            if judged[id] >= k:
                values[id] = pass_at_k(judged[id], sum(each.successes for each in newest), k)
        if num_problems and len(values) >= SEEN * num_problems:
            moments[window] = Moment(x, dict(values))
    return moments
