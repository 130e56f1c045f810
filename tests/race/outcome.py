"""What one run of the race did: its groups, the levels it reached and when. Pure.

The success of a run at a moment is the mean of `Group.success` over the newest `WINDOW` unguided groups that were
finished by then. A level is reached at the first moment at which there are that many and their success is at or above
it: a run that falls back later has reached it nevertheless, and `final` shows the fall. Guided groups are counted and
cost time, but never measured.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

WINDOW = 100
"""Unguided groups."""
LEVELS = (25, 50, 75, 90)
"""Percent unguided success."""
Trainer = Literal["pope", "trl"]


class Group(msgspec.Struct, frozen=True, array_like=True):
    """One finished rollout group: sampled, judged and handed on."""

    arm: str
    """`unguided` or `guided`."""
    at_s: float
    """Seconds from the first rollout request of training."""
    successes: int
    rollouts: int

    @property
    def success(self) -> float:
        return self.successes / self.rollouts


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One finished run, as `NAME/seed-N.json` holds it."""

    name: str
    """The racer: `pope`, `pope_sync`, `trl`, or a name of the user's."""
    trainer: Trainer
    seed: int
    settings: tuple[str, ...]
    """KEY=VALUE that make this racer, beyond what all share."""
    version: str
    """What was run: the commit of the repository, or the version of TRL."""
    groups: tuple[Group, ...]
    """In the order in which they were finished."""


@dataclass(frozen=True)
class Moment:
    """The success of a run when one of its unguided groups was finished."""

    at_s: float
    num_groups: int
    """Groups of both arms up to here."""
    success: float
    """0 to 1."""


def moments(groups: Iterable[Group], window: int = WINDOW) -> Iterator[Moment]:
    """One for each unguided group from number `window` on."""
    newest: deque[float] = deque(maxlen=window)
    for num_groups, group in enumerate(groups, start=1):
        if group.arm == "unguided":
            newest.append(group.success)
            if len(newest) == window:
                yield Moment(group.at_s, num_groups, sum(newest) / window)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run in race.json: seconds and groups of both arms to each level, None where it was never reached."""

    seed: int
    s_to_25: float | None
    s_to_50: float | None
    s_to_75: float | None
    s_to_90: float | None
    groups_to_25: int | None
    groups_to_50: int | None
    groups_to_75: int | None
    groups_to_90: int | None
    final: float | None
    """Success over the last `WINDOW` unguided groups, 0 to 1; None when there were fewer."""
    groups: int
    """Groups of both arms that were finished."""
    seconds: float
    """From the first rollout request to the last finished group."""


def row(outcome: Outcome) -> Row:
    """The levels of one run."""
    curve = list(moments(outcome.groups))
    reached = {level: next((m for m in curve if m.success >= level / 100), None) for level in LEVELS}
    seconds = {f"s_to_{level}": m and round(m.at_s, 1) for level, m in reached.items()}
    groups = {f"groups_to_{level}": m and m.num_groups for level, m in reached.items()}
    last = outcome.groups[-1].at_s if outcome.groups else 0.0
    whole = {"final": round(curve[-1].success, 4) if curve else None, "groups": len(outcome.groups)}
    return msgspec.convert({"seed": outcome.seed, "seconds": round(last, 1), **seconds, **groups, **whole}, Row)
