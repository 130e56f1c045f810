"""The reports of the roles: one class per kind, and its wire form.

On the wire a report is one entry of the metrics stream of its room (`Keys.metrics`): plain text fields that any Redis
client can read. The `name` of a field is its wire name. A mapping whose wire name has a star is written as one field
per key: {"guided": 0.5} of `reward/*/mean` becomes `reward/guided/mean` = 0.5. A mapping without a star is one field,
"KEY:VALUE KEY:VALUE". Optional numbers that are None are left out, and unknown fields of a newer version are ignored.

A part is a bucket and an arm, written `bucket/arm`. Counts of a report are since the last report of the same role.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, TypeVar, get_origin, get_type_hints

import msgspec

from broker.records import Bucket

LEARNER, ACTORS, GROUPS, PREPROCESS, SFT, DRIVER = "learner", "actors", "groups", "preprocess", "sft", "deploy"
TIMES = "times"
"""The rooms."""
KEPT = "kept"
"""Outcome of a group that went into the ring."""

WORK, OPTIMIZER, WEIGHTS, CANARY, CHECKPOINT = "work", "optimizer", "weights", "canary", "checkpoint"
WAIT_INPUT, WAIT_LAG, WAIT_ROOM, OTHER = "wait_input", "wait_lag", "wait_room", "other"
PHASES: dict[str, dict[str, str]] = {
    "learner": {
        WORK: "forward and backward",
        OPTIMIZER: "optimizer",
        WEIGHTS: "publishing weights",
        CHECKPOINT: "checkpoints",
        WAIT_INPUT: "waiting for a batch",
        OTHER: "other",
    },
    "actor": {
        WORK: "sampling",
        WEIGHTS: "paused for weights",
        CANARY: "canary",
        WAIT_LAG: "waiting for the lag bound",
        WAIT_ROOM: "waiting for room on the stream",
        WAIT_INPUT: "nothing to claim",
        OTHER: "other",
    },
    "preprocess": {
        WORK: "advantages",
        WAIT_INPUT: "waiting for groups",
        WAIT_ROOM: "waiting for room in the ring",
        OTHER: "other",
    },
}
"""Kind of role -> its phases, in the order in which they are shown, and what the role does or waits for in each.
Packing, statistics and reports of the learner are `other`; so is room of an engine between two groups."""

Fields = Mapping[str, float | int | str]
"""Wire name -> value; text when read from Redis."""


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all reports."""

    room: ClassVar[str]

    id: str = ""
    """Entry id of the stream, "MILLISECONDS-NUMBER" by the server's clock; empty until it was appended."""

    @property
    def unix_s(self) -> float:
        """When the server appended it, unix seconds."""
        return unix_s(self.id)


R = TypeVar("R", bound=Report)


def unix_s(entry_id: str) -> float:
    """When the server appended an entry of a stream, unix seconds."""
    return int(entry_id.partition("-")[0]) / 1e3


class LearnerStep(Report, frozen=True, kw_only=True):
    """One optimizer step. Token statistics are over the trained tokens that the policy sampled, of all ranks."""

    room = LEARNER

    step: int
    """Policy version after the step, >= 1."""
    loss: float = msgspec.field(name="loss/mean")
    """Loss of the whole step, oracle solutions included."""
    grad_norm: float = msgspec.field(name="grad/norm")
    """L2 norm before clipping, >= 0; not finite exactly when the step was skipped."""
    applied: bool = msgspec.field(name="step/applied")
    """False: the gradient was not finite or the watchdog dropped it, and the weights are those of the step before."""
    seconds: float = msgspec.field(name="step/seconds")
    tokens: int = msgspec.field(name="step/tokens")
    """Trained tokens, >= 0."""
    samples: int = msgspec.field(name="step/samples")
    """Rollouts, without oracle solutions."""
    untrained_samples: int = msgspec.field(name="step/untrained_samples")
    """Rollouts without a reward, included in `samples`."""
    tokens_per_s: float = msgspec.field(name="step/tokens_per_s")
    learning_rate: float = msgspec.field(name="learning_rate/value")
    """0 in a step without a gradient."""
    ess: float = msgspec.field(name="ratio/ess")
    """Effective sample size of the importance ratios as a share of the tokens, 0 to 1."""
    ess_corrected: float | None = msgspec.field(name="ratio/ess_corrected", default=None)
    """The same of the weights that the gradient has after clipping, truncation and masking; None in older records."""
    clip_share: float = msgspec.field(name="ratio/clip_share")
    """Share of the tokens that are masked or whose ratio is outside the bounds of the policy loss, 0 to 1."""
    ratio_mean: float = msgspec.field(name="ratio/mean")
    ratio_max: float = msgspec.field(name="ratio/max")
    logprob_rms: float = msgspec.field(name="logprob/rms")
    """Root mean square of log pi - log pi_behaviour, nats."""
    logprob_rms_lag0: float | None = msgspec.field(name="logprob/rms_lag0", default=None)
    """The same over the tokens sampled with the weights that the step updates: the disagreement of engine and learner
    by arithmetic. None when the step has no such token."""
    entropy: float = msgspec.field(name="entropy/mean")
    """nats a token, at the sampling temperature."""
    lag_mean: float = msgspec.field(name="lag/mean")
    """Optimizer steps, over tokens."""
    lag_max: int = msgspec.field(name="lag/max")
    """Optimizer steps."""
    lag_histogram: dict[int, int] = msgspec.field(name="lag/histogram")
    """Lag in optimizer steps -> tokens, ascending."""
    completion_tokens_mean: float = msgspec.field(name="completion/tokens_mean")
    """Tokens a rollout."""
    packing_fill: float = msgspec.field(name="packing/fill")
    """Share of the packed rows that holds tokens, 0 to 1."""
    kl: float | None = msgspec.field(name="kl/mean", default=None)
    """k3 estimate of KL(pi || reference), nats a token; None without a KL term."""
    reward_mean: dict[str, float] = msgspec.field(name="reward/*/mean", default_factory=dict)
    """Arm -> mean reward of its judged rollouts."""
    advantage_share: dict[str, float] = msgspec.field(name="share/advantage/*", default_factory=dict)
    """Part -> share of the step's absolute advantage, tokens counted; sums to 1, empty when all advantages are 0."""
    token_share: dict[str, float] = msgspec.field(name="share/tokens/*", default_factory=dict)
    """Part -> share of the trained tokens; sums to 1."""
    gradient_norm: dict[str, float] = msgspec.field(name="gradient/norm/*", default_factory=dict)
    """Part -> L2 norm of its gradient; empty unless the step compared gradients."""
    gradient_cosine: dict[str, float] = msgspec.field(name="gradient/cosine/*", default_factory=dict)
    """"A/B" -> cosine, -1 to 1, of the gradients of two parts, or of two buckets."""
    reward_change: dict[str, float] = msgspec.field(name="reward/change/*", default_factory=dict)
    """Part -> slope of its mean reward over its newest steps, reward a step."""
    mfu: float | None = msgspec.field(name="step/mfu", default=None)
    """Model FLOPs utilization, 0 to 1: those of the step on the first rank (`learner/model_cost.py`) / (`seconds` * the
    measured peak of its device). None in a replay and in a step without a gradient."""
    publish_s: float | None = msgspec.field(name="publish/seconds", default=None)
    """Seconds to publish the weights, 0 when the step published none. None in a replay, like the next two fields."""
    checkpoint_step: int | None = msgspec.field(name="checkpoint/step", default=None)
    """Step of the newest checkpoint; -1 before the first."""
    checkpoint_failures: int | None = msgspec.field(name="checkpoint/failures", default=None)
    """Checkpoints that could not be saved so far."""
    watchdog: str | None = msgspec.field(name="watchdog/reasons", default=None)
    """Why the step is unhealthy, with values and bounds; None when it is healthy."""
    rolled_back_to: int | None = msgspec.field(name="watchdog/rolled_back_to", default=None)
    """Step of the checkpoint whose weights this step has in place of an update; None: no rollback."""


class WeightSync(Report, frozen=True, kw_only=True):
    """One engine took over a policy version."""

    room = ACTORS

    actor: str
    version: int = msgspec.field(name="sync/version")
    stall_ms: float = msgspec.field(name="sync/stall_ms")
    """Time in which the engine generated nothing, milliseconds."""
    in_flight_groups: int = msgspec.field(name="sync/in_flight_groups")
    """Training groups that were being sampled during the sync."""
    canary_mismatches: int = msgspec.field(name="sync/canary_mismatches")
    """Parameters that differ from the learner's; 0 also when they were not compared."""


class ActorOutput(Report, frozen=True, kw_only=True):
    """Training groups that one actor wrote."""

    room = ACTORS

    actor: str
    version: int
    """Policy version its engine held when it reported."""
    groups: int
    tokens: int
    """Completion tokens."""
    verdicts: dict[str, int] = msgspec.field(name="verdict/*", default_factory=dict)
    """Verdict -> rollouts."""
    truncated: int
    """Rollouts cut by the token budget."""
    multi_version_rollouts: int
    """Rollouts whose tokens come from several policy versions."""


class GroupEnd(Report, frozen=True, kw_only=True):
    """One rollout group that ended preprocessing. Counts exclude the oracle solution."""

    room = GROUPS

    group_id: int = msgspec.field(name="ordinal")
    problem_id: str
    arm: str
    bucket: Bucket
    actor: str
    outcome: str
    """`kept`, or the filter's reason."""
    step: int
    """Newest published policy version when it was preprocessed."""
    oldest_version: int
    """Policy version of its oldest token."""
    rollouts: int
    judged: int
    reward_sum: float
    successes: int
    prompt_tokens: int
    completion_tokens: int
    """Sum over its rollouts."""
    truncated: int = msgspec.field(name="cut_off")
    """Rollouts cut by the token budget."""
    verdicts: dict[str, int] = msgspec.field(name="verdict.*", default_factory=dict)
    """Verdict -> rollouts."""
    sampling_share: float = 1.0
    """As in `RolloutGroup`."""
    guidance_chars: int = 0
    """As in `RolloutGroup`."""

    @property
    def weight(self) -> float:
        """Weight of the group in a mean over the problems of its arm. 1 under uniform sampling."""
        return 1.0 / self.sampling_share

    @property
    def kept(self) -> bool:
        """Whether it went into the ring."""
        return self.outcome == KEPT


def success_rate(groups: Sequence[GroupEnd]) -> float:
    """Share of correct rollouts among the judged ones, 0 to 1, by the weights of the groups; 0 without a judged one."""
    judged = sum(group.weight * group.judged for group in groups)
    return sum(group.weight * group.successes for group in groups) / judged if judged else 0.0


class PreprocessWork(Report, frozen=True, kw_only=True):
    """Groups that one preprocessing worker processed, and the occupancy of its queues when it reported."""

    room = PREPROCESS

    worker: str
    step: int
    """Newest published policy version."""
    ring_samples: int = msgspec.field(name="preprocess/ring/occupancy")
    """Slots of the ring in use."""
    stream_groups: int = msgspec.field(name="preprocess/stream/depth")
    """Groups on the rollout stream."""
    groups_seen: int = msgspec.field(name="preprocess/groups/seen")
    errors: int | None = msgspec.field(name="preprocess/groups/errors", default=None)
    """Deliveries that raised and will be delivered again; None: none."""
    outcomes: dict[str, int] = msgspec.field(name="preprocess/groups/*", default_factory=dict)
    """`kept`, a filter's reason or `unreadable` -> groups."""
    groups: dict[str, int] = msgspec.field(name="preprocess/*/groups", default_factory=dict)
    """Arm -> groups; the next four fields are also by arm."""
    rollouts: dict[str, int] = msgspec.field(name="preprocess/*/rollouts", default_factory=dict)
    judged: dict[str, int] = msgspec.field(name="preprocess/*/judged", default_factory=dict)
    reward_mean: dict[str, float] = msgspec.field(name="preprocess/*/reward_mean", default_factory=dict)
    """Over the judged rollouts; arms without one are left out."""
    success_rate: dict[str, float] = msgspec.field(name="preprocess/*/success_rate", default_factory=dict)
    """Share of the judged rollouts that are correct, 0 to 1; arms without one are left out. Over the rollouts as
    sampled: without the weights of `problems.sampling=adaptive`."""


class RoleTimes(Report, frozen=True, kw_only=True):
    """Where the time of one role went since its last report."""

    room = TIMES

    role: str
    """KIND-NUMBER, such as `actor-0`."""
    wall_s: float = msgspec.field(name="times/wall_s")
    """Sum of `seconds`."""
    seconds: dict[str, float] = msgspec.field(name="times/seconds/*", default_factory=dict)
    """Phase -> seconds; `PHASES` says what a phase means for a kind of role."""
    memory_mib: float = msgspec.field(name="memory/resident_mib")
    """Resident memory of its process with all child processes, MiB."""

    @property
    def kind(self) -> str:
        """Kind of the role: learner, actor or preprocess."""
        return self.role.rpartition("-")[0]


class SftStep(Report, frozen=True, kw_only=True):
    """One optimizer step of supervised fine-tuning. Loss and entropy are means over the response tokens."""

    room = SFT

    step: int
    """From 1 on."""
    epoch: int
    """From 1 on."""
    loss: float = msgspec.field(name="loss/mean")
    """nats a token."""
    entropy: float = msgspec.field(name="entropy/mean")
    """nats a token."""
    grad_norm: float = msgspec.field(name="grad/norm")
    """L2 norm before clipping; not finite exactly when the step was skipped."""
    learning_rate: float = msgspec.field(name="learning_rate/value")
    applied: bool = msgspec.field(name="step/applied")
    samples: int = msgspec.field(name="step/samples")
    """Demonstrations."""
    tokens: int = msgspec.field(name="step/tokens")
    """Response tokens."""
    seconds: float = msgspec.field(name="step/seconds")
    packing_fill: float = msgspec.field(name="packing/fill")
    """Share of the packed rows that holds tokens, 0 to 1."""


class DriverNote(Report, frozen=True, kw_only=True):
    """A message of the driver to the operator."""

    room = DRIVER

    note: str
    alert: str | None = None
    """Subject of the alert (`deploy/store/alerts.py`); None: the note is not an alert."""
    raised: bool | None = None
    """True: the alert holds; False: it no longer holds; None: not an alert."""


class Heartbeat(msgspec.Struct, frozen=True):
    """The newest sign that a role is running. On the wire: "UNIX_MS STATUS"."""

    unix_s: float
    """By the server's clock."""
    status: str
    """What the role does or waits for."""

    @classmethod
    def decode(cls, text: str) -> "Heartbeat":
        unix_ms, _, status = text.partition(" ")
        return cls(int(unix_ms) / 1000, status)


KINDS: tuple[type[Report], ...] = (
    LearnerStep, WeightSync, ActorOutput, GroupEnd, PreprocessWork, RoleTimes, SftStep, DriverNote,
)  # fmt: skip
PLACES = ("step", "version", "sync/version", "ordinal", "epoch", "oldest_version")
"""Wire names of numbers that say where a report belongs."""
LEVELS = (
    "preprocess/ring/occupancy", "preprocess/stream/depth", "sync/in_flight_groups", "sampling_share",
    "memory/resident_mib", "sync/stall_ms",
)  # fmt: skip
"""Wire names of levels, whose mean over several reports says something; other whole numbers are counts."""


class _WireForm:
    """The wire names of a kind, grouped by how their values are written."""

    def __init__(self, kind: type[Report]) -> None:
        hints = get_type_hints(kind)
        self.names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
        self.exact = frozenset(name for name in self.names.values() if "*" not in name)
        self.required = frozenset(field.encode_name for field in msgspec.structs.fields(kind) if field.required)
        stars = [(name, *name.split("*")) for name in self.names.values() if "*" in name]
        self.stars = sorted(stars, key=lambda star: -len(star[1]))
        """(wire name, prefix before the star, suffix after it), longest prefix first."""
        self.inline = frozenset(
            encoded for name, encoded in self.names.items() if "*" not in encoded and get_origin(hints[name]) is dict
        )
        """Wire names of the mappings that are written as one field."""


@cache
def _wire_form(kind: type[Report]) -> _WireForm:
    return _WireForm(kind)


def to_fields(report: Report) -> dict[str, float | int | str]:
    """The wire form, without the entry id; booleans are 0 and 1."""
    fields: dict[str, float | int | str] = {}
    for name, wire in _wire_form(type(report)).names.items():
        value = getattr(report, name)
        if name == "id" or value is None:
            continue
        if not isinstance(value, dict):
            fields[wire] = int(value) if isinstance(value, bool) else value
        elif "*" in wire:
            fields |= {wire.replace("*", key): number for key, number in value.items()}
        else:
            fields[wire] = " ".join(f"{key}:{number}" for key, number in value.items())
    return fields


def as_text(report: Report) -> dict[str, str]:
    """The wire form as read back from Redis, entry id included."""
    return {"id": report.id} | {name: text_of(value) for name, value in to_fields(report).items()}


def text_of(value: float | int | str) -> str:
    """A field as text; floats keep all their digits."""
    return repr(float(value)) if isinstance(value, float) else str(value)


def with_numbers(room: str, fields: Mapping[str, str]) -> dict[str, float | int | str]:
    """A report as read from Redis, with numbers in place of their text. Numbers that JSON does not have stay text, and
    so do fields that no kind of the room knows."""
    for kind in KINDS:
        if kind.room == room and has_kind(kind, fields):
            try:
                known = to_fields(from_fields(kind, fields))
            except msgspec.ValidationError:  # of another version; readers name it
                continue
            numbers = {name: value for name, value in known.items() if isinstance(value, int) or _is_finite(value)}
            return {**fields, **numbers}
    return dict(fields)


def _is_finite(value: float | str) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def has_kind(kind: type[Report], fields: Fields) -> bool:
    """Whether these fields are a report of this kind; a room may have several kinds."""
    return _wire_form(kind).required <= fields.keys()


def from_fields(kind: type[R], fields: Fields) -> R:
    """A report from its wire form; numbers may be text.

    Raises msgspec.ValidationError when a required field is missing or a number cannot be parsed.
    """
    form = _wire_form(kind)
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name in form.exact:
            values[name] = dict(word.split(":") for word in str(value).split()) if name in form.inline else value
            continue
        for wire, prefix, suffix in form.stars:
            if name.startswith(prefix) and name.endswith(suffix) and len(name) > len(prefix) + len(suffix):
                values.setdefault(wire, {})[name[len(prefix) : len(name) - len(suffix)]] = value
                break
    return msgspec.convert(values, kind, strict=False)
