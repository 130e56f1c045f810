"""Transfer: how many problems that were first solved with guidance were later solved without. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from broker.ledger import LedgerRow

GUIDED, UNGUIDED = "guided", "unguided"
RECENT_GROUPS = 4
"""Number of newest unguided groups that count as recent; with 8 rollouts per group, 32 rollouts."""


@dataclass(frozen=True)
class Transfer:
    """Problem ids by which arm solved them first in training, each ascending.

    Every problem of the guided or the unguided arm is in exactly one of `guided_first`, `unguided_first`, `same_step`
    and `unsolved`; the three below `guided_first` are parts of it.
    """

    guided_first: tuple[str, ...]
    """Solved with guidance at an earlier step than without, or never without."""
    then_unguided: tuple[str, ...]
    """The part of `guided_first` that was later solved without guidance, at least once."""
    unguided_recently: tuple[str, ...]
    """The part of `then_unguided` that was solved in one of the newest `recent_groups` unguided groups."""
    recency_unknown: tuple[str, ...]
    """The part of `then_unguided` without outcomes by group in the ledger, because an older version wrote it."""
    unguided_first: tuple[str, ...]
    """Solved without guidance at an earlier step than with it, or never with it."""
    same_step: tuple[str, ...]
    """First solved under both arms at the same step, so the order is unknown."""
    unsolved: tuple[str, ...]
    recent_groups: int

    def counts(self) -> dict[str, int]:
        """Number of problems in each class, and `recent_groups`."""
        return {name: len(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}


def explain(counts: Mapping[str, int]) -> str:
    """`Transfer.counts` as one sentence."""
    total, since = counts["guided_first"], counts["then_unguided"]
    if not total:
        return "transfer: no problem was first solved with guidance"
    unknown = f" (not known for {counts['recency_unknown']})" if counts["recency_unknown"] else ""
    return (
        f"transfer: of {total} problem{'' if total == 1 else 's'} first solved with guidance, {since} "
        f"({since / total:.0%}) {'was' if since == 1 else 'were'} since solved without, {counts['unguided_recently']} "
        f"in one of the newest {counts['recent_groups']} groups{unknown}"
    )


def transfer(rows: Iterable[LedgerRow], recent_groups: int = RECENT_GROUPS) -> Transfer | None:
    """Classifies the problems of a ledger; None when it has no guided row.

    A step is the newest policy version when a group was preprocessed. Measurements before training are not in the
    ledger.
    """
    by_arm: dict[str, dict[str, LedgerRow]] = {GUIDED: {}, UNGUIDED: {}}
    for row in rows:
        if row.arm in by_arm:
            by_arm[row.arm][row.problem_id] = row
    guided, unguided = by_arm[GUIDED], by_arm[UNGUIDED]
    if not guided:
        return None
    classes: dict[str, list[str]] = {name: [] for name in ("guided", "unguided", "same", "unsolved")}
    for problem in sorted(guided.keys() | unguided.keys()):
        classes[_first(_first_step(guided.get(problem)), _first_step(unguided.get(problem)))].append(problem)
    since = [p for p in classes["guided"] if _first_step(unguided.get(p)) is not None]
    return Transfer(
        guided_first=tuple(classes["guided"]),
        then_unguided=tuple(since),
        unguided_recently=tuple(p for p in since if unguided[p].solved_within(recent_groups)),
        recency_unknown=tuple(p for p in since if not unguided[p].last),
        unguided_first=tuple(classes["unguided"]),
        same_step=tuple(classes["same"]),
        unsolved=tuple(classes["unsolved"]),
        recent_groups=recent_groups,
    )


def _first_step(row: LedgerRow | None) -> int | None:
    return row.first_solve_step if row is not None else None


def _first(guided: int | None, unguided: int | None) -> str:
    """The class of a problem by the steps of its first solves; None: never solved."""
    if guided == unguided:
        return "unsolved" if guided is None else "same"
    if unguided is None or (guided is not None and guided < unguided):
        return "guided"
    return "unguided"
