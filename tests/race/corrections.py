"""Which off-policy correction holds at which lag: pope under each of them, with every token exactly so many steps old.

Weights are published so many steps late (`learner.forced_lag`), so a result does not depend on the load of the machine.
docs/objectives.md has the formula and the source of each correction. At lag 0 none of them does anything.
"""

from collections.abc import Mapping, Sequence

from tests.race.outcome import Outcome, row
from tests.race.racers import Pope

CORRECTIONS: dict[str, tuple[str, ...]] = {
    "truncated_is": (),
    "ppo_clip": ("learner.policy_loss=ppo_clip", "learner.ratio_min=0.8", "learner.ratio_max=1.28"),
    "cispo": ("learner.policy_loss=cispo", "learner.ratio_max=1.28"),
    "gspo": (
        "learner.policy_loss=gspo", "learner.loss_aggregation=sequence_mean",
        "learner.ratio_min=0.9997", "learner.ratio_max=1.0004",
    ),
    "sequence_is": ("learner.policy_loss=sequence_is", "learner.ratio_max=2"),
    "decoupled_clip": ("learner.policy_loss=decoupled_clip", "learner.ratio_min=0.8", "learner.ratio_max=1.2"),
    "token_mask": ("learner.ratio_mask=token",),
    "second_moment": ("learner.ratio_mask=second_moment", "learner.ratio_max=1e6"),
    "lag_discount": ("learner.lag_discount=1",),
}  # fmt: skip
"""Name -> its settings, those of its paper where that gives some. `truncated_is` is as shipped."""
ON_POLICY = "lag-0"
LAGS = (1, 2, 4, 8)
"""Optimizer steps."""


def racers() -> list[Pope]:
    """Every correction at every lag, smallest lag first."""
    lagging = [
        Pope(_name(correction, lag), (*settings, f"learner.forced_lag={lag}", f"learner.max_lag={lag}"))
        for lag in LAGS
        for correction, settings in CORRECTIONS.items()
    ]
    return [Pope(ON_POLICY, ("learner.max_lag=0",)), *lagging]


def markdown(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """A row for each correction, a column for each lag: the success of every seed at the end of its budget, percent.

    The median of the groups to 75 % follows in brackets where more than half of the seeds came so far.
    """
    lines = [("correction", *(f"lag {lag}" for lag in LAGS)), ("---", *("---" for _ in LAGS))]
    lines += [
        (correction, *(_cell(outcomes.get(_name(correction, lag), ())) for lag in LAGS)) for correction in CORRECTIONS
    ]
    on_policy = f"Without a lag: {_cell(outcomes.get(ON_POLICY, ()))}.\n"
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{on_policy}"


def _name(correction: str, lag: int) -> str:
    return f"{correction}-{lag}"


def _cell(runs: Sequence[Outcome]) -> str:
    """`94 93 91 (998)`."""
    rows = [row(run) for run in runs]
    finals = " ".join("-" if one.final is None else f"{100 * one.final:.0f}" for one in rows)
    reached = sorted(one.groups_to_75 for one in rows if one.groups_to_75 is not None)
    if not rows or len(reached) <= len(rows) / 2:
        return finals or "-"
    return f"{finals} ({reached[(len(rows) - 1) // 2]:,})"
