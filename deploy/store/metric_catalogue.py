"""The numbers of `step_numbers.py`: their groups, units, and which of them belong into one chart. Pure.

Fields are named as in `broker/reports.py`, which alone knows their wire names. A star in a wire name is the key of a
mapping, an arm for example; the numbers that differ in their key alone are one family, a line for each key.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import msgspec

from broker.reports import (
    ActorOutput,
    GroupEnd,
    LearnerStep,
    PreprocessWork,
    Report,
    RoleTimes,
    SftStep,
    WeightSync,
)

LOSS, REWARDS, POLICY, LAG, COMPLETIONS = "Loss and gradient", "Rewards", "Policy", "Lag", "Completions"
EVALUATIONS, GROUPS, SPEED, TIME, SYNC = "Evaluations", "Groups", "Speed", "Seconds by stage", "Weight sync"
INTERFERENCE, QUEUES, MACHINE, TUNING, OTHER = "Easy and hard", "Queues", "Machine", "Fine-tuning", "Other"
GROUP_ORDER = (
    LOSS, REWARDS, EVALUATIONS, POLICY, LAG, COMPLETIONS, SPEED, TIME, SYNC, GROUPS, QUEUES, INTERFERENCE, MACHINE,
    TUNING, OTHER,
)  # fmt: skip
SHARE, NATS, STEPS, TOKENS, SECONDS = "0 to 1", "nats a token", "optimizer steps", "tokens", "s"
ROLLOUTS, COUNT = "rollouts a step", "groups a step"

Described = dict[str, tuple[str, str]]
"""Field -> (group, unit); an empty unit is a plain number."""

FIELDS: dict[type[Report], Described] = {
    LearnerStep: {
        "loss": (LOSS, ""), "grad_norm": (LOSS, "L2 norm"), "learning_rate": (LOSS, ""), "applied": (LOSS, SHARE),
        "seconds": (TIME, SECONDS), "tokens": (SPEED, TOKENS), "samples": (GROUPS, ROLLOUTS),
        "untrained_samples": (GROUPS, ROLLOUTS), "tokens_per_s": (SPEED, "tokens/s"), "ess": (POLICY, SHARE),
        "ess_corrected": (POLICY, SHARE), "clip_share": (POLICY, SHARE), "ratio_mean": (POLICY, "ratio"),
        "ratio_max": (POLICY, "ratio"), "logprob_rms": (POLICY, "nats"), "logprob_rms_lag0": (POLICY, "nats"),
        "entropy": (POLICY, NATS), "kl": (POLICY, NATS), "lag_mean": (LAG, STEPS), "lag_max": (LAG, STEPS),
        "lag_histogram": (LAG, TOKENS), "completion_tokens_mean": (COMPLETIONS, "tokens a rollout"),
        "packing_fill": (SPEED, SHARE), "reward_mean": (REWARDS, "mean reward"),
        "advantage_share": (INTERFERENCE, SHARE), "token_share": (INTERFERENCE, SHARE),
        "gradient_norm": (INTERFERENCE, "L2 norm"), "gradient_cosine": (INTERFERENCE, "-1 to 1"),
        "reward_change": (INTERFERENCE, "reward a step"),
        "mfu": (SPEED, SHARE), "publish_s": (TIME, SECONDS), "checkpoint_step": (MACHINE, "step"),
        "checkpoint_failures": (MACHINE, "so far"), "rolled_back_to": (LOSS, "step"),
    },
    WeightSync: {
        "stall_ms": (SYNC, "ms"), "in_flight_groups": (SYNC, "groups"), "canary_mismatches": (SYNC, "parameters"),
    },
    ActorOutput: {
        "groups": (GROUPS, COUNT), "tokens": (COMPLETIONS, "tokens a step"), "verdicts": (COMPLETIONS, ROLLOUTS),
        "truncated": (COMPLETIONS, ROLLOUTS), "multi_version_rollouts": (LAG, ROLLOUTS),
    },
    GroupEnd: {
        "rollouts": (GROUPS, ROLLOUTS), "judged": (GROUPS, ROLLOUTS), "reward_sum": (REWARDS, "mean of a group"),
        "successes": (REWARDS, ROLLOUTS), "prompt_tokens": (COMPLETIONS, "tokens a step"),
        "completion_tokens": (COMPLETIONS, "tokens a step"), "truncated": (COMPLETIONS, ROLLOUTS),
        "verdicts": (COMPLETIONS, ROLLOUTS), "sampling_share": (GROUPS, "1: uniform"),
        "guidance_chars": (GROUPS, "characters a step"),
    },
    PreprocessWork: {
        "ring_samples": (QUEUES, "slots"), "stream_groups": (QUEUES, "groups"), "groups_seen": (GROUPS, COUNT),
        "errors": (GROUPS, COUNT), "outcomes": (GROUPS, COUNT), "groups": (GROUPS, COUNT),
        "rollouts": (GROUPS, ROLLOUTS), "judged": (GROUPS, ROLLOUTS), "reward_mean": (REWARDS, "mean reward"),
        "success_rate": (REWARDS, SHARE),
    },
    RoleTimes: {"wall_s": (TIME, SECONDS), "seconds": (TIME, SECONDS), "memory_mib": (MACHINE, "MiB")},
    SftStep: {
        "loss": (TUNING, "nats a token"), "entropy": (TUNING, NATS), "grad_norm": (TUNING, "L2 norm"),
        "learning_rate": (TUNING, ""), "applied": (TUNING, SHARE), "samples": (TUNING, "demonstrations"),
        "tokens": (TUNING, TOKENS), "seconds": (TUNING, SECONDS), "packing_fill": (TUNING, SHARE),
    },
}  # fmt: skip
EVALUATION = "evaluation/"
DERIVED: Described = {
    "success/*": (REWARDS, "share correct"), "solved/*": (REWARDS, "hard problems, once or more"),
    "kept": (GROUPS, SHARE), "cut": (COMPLETIONS, "share truncated"), "unjudged": (COMPLETIONS, SHARE),
    "written_per_s": (SPEED, "tokens/s"), f"{EVALUATION}*": (EVALUATIONS, "share solved, unguided"),
}  # fmt: skip
"""Numbers that follow from several reports: the columns of `deploy/dashboard/steps.py` that no report has, and the
scheduled evaluations."""


@dataclass(frozen=True)
class Metric:
    """What is known of one number."""

    family: str
    """Name with a star in place of the key; the name itself without a key."""
    line: str
    """The key; empty without one."""
    group: str
    unit: str
    place: int
    """Its place in the catalogue."""


def metric_of(name: str) -> Metric:
    """What is known of the number of this name; of an unknown one, the group `OTHER`."""
    for pattern, group, unit, place in _patterns():
        if found := pattern.fullmatch(name):
            line = found["key"] if "key" in pattern.groupindex else ""
            family = name if not line else f"{name[: found.start('key')]}*{name[found.end('key') :]}"
            return Metric(family, line, group, unit, place)
    return Metric(name, "", OTHER, "", len(_patterns()))


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str, str, int], ...]:
    """(names, group, unit, place in the catalogue), those with the most letters first, so that a star matches what no
    other name does."""
    named = [*_named_fields(), *((name, *described) for name, described in DERIVED.items())]
    placed = sorted(enumerate(named), key=lambda each: -len(each[1][0].replace("*", "")))
    return tuple((_pattern(name), group, unit, place) for place, (name, group, unit) in placed)


def _named_fields() -> Iterator[tuple[str, str, str]]:
    for kind, described in FIELDS.items():
        wire_names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
        for field, (group, unit) in described.items():
            yield _number_name(kind, wire_names[field]), group, unit


def _number_name(kind: type[Report], wire: str) -> str:
    """The name that `StepNumbers` gives to a field, with a star for each key, arm and kind of role."""
    if wire.endswith("/histogram"):
        return f"{wire}/*"
    if kind is SftStep:
        return f"sft/{wire}"
    name = wire if "/" in wire else f"{kind.room}/{wire}"
    return f"{name}/*" if kind in (GroupEnd, RoleTimes) else name


def _pattern(name: str) -> re.Pattern[str]:
    """The first star is the key of a line. A second one stays in the name of the family."""
    first, *rest = map(re.escape, name.split("*"))
    if not rest:
        return re.compile(first)
    return re.compile(first + "(?P<key>.+?)" + rest[0] + "".join(f"(?:.+){part}" for part in rest[1:]))
