"""Reports for tests: each is whole, with the fields given in place of the usual ones."""

from typing import Any

import msgspec

from broker.reports import (
    ActorOutput,
    DriverNote,
    GroupEnd,
    LearnerStep,
    PreprocessWork,
    RoleTimes,
    SftStep,
    WeightSync,
)

_STEP = LearnerStep(
    step=1, loss=-0.01, grad_norm=0.3, applied=True, seconds=0.5, tokens=3000, samples=64, untrained_samples=0,
    tokens_per_s=6000.0, learning_rate=0.0005, ess=0.97, clip_share=0.0, ratio_mean=1.0, ratio_max=1.4,
    logprob_rms=0.02, logprob_rms_lag0=1e-5, entropy=0.2, lag_mean=1.25, lag_max=2,
    lag_histogram={0: 1000, 1: 500, 2: 1500}, completion_tokens_mean=46.875, packing_fill=0.9,
)  # fmt: skip
_SYNC = WeightSync(actor="actor-0", version=1, stall_ms=80.5, in_flight_groups=5, canary_mismatches=0)
_OUTPUT = ActorOutput(
    actor="actor-0", version=0, groups=8, tokens=8000, verdicts={"wrong": 64}, truncated=0, multi_version_rollouts=0
)
_GROUP = GroupEnd(
    group_id=0, problem_id="p0", arm="unguided", bucket="hard", actor="actor-0", outcome="kept", step=0,
    oldest_version=0, rollouts=8, judged=8, reward_sum=1.0, successes=1, prompt_tokens=80, completion_tokens=320,
    truncated=0,
)  # fmt: skip
_WORK = PreprocessWork(worker="preprocess-0", step=0, ring_samples=48, stream_groups=2, groups_seen=8)
_SFT = SftStep(
    step=1, epoch=1, loss=1.5, entropy=0.7, grad_norm=0.3, learning_rate=1e-4, applied=True, samples=8, tokens=400,
    seconds=0.5, packing_fill=0.9,
)  # fmt: skip


def learner_step(step: int = 1, **fields: Any) -> LearnerStep:
    return msgspec.structs.replace(_STEP, step=step, **fields)


def weight_sync(version: int = 1, **fields: Any) -> WeightSync:
    return msgspec.structs.replace(_SYNC, version=version, **fields)


def actor_output(version: int = 0, **fields: Any) -> ActorOutput:
    return msgspec.structs.replace(_OUTPUT, version=version, **fields)


def ended(successes: int = 1, **fields: Any) -> GroupEnd:
    """A group; a correct rollout has the reward 1."""
    return msgspec.structs.replace(_GROUP, successes=successes, **{"reward_sum": float(successes), **fields})


def preprocess_work(step: int = 0, **fields: Any) -> PreprocessWork:
    return msgspec.structs.replace(_WORK, step=step, **fields)


def role_times(role: str, *, id: str = "", memory_mib: float = 100.0, **seconds: float) -> RoleTimes:
    """`seconds` by phase."""
    return RoleTimes(id=id, role=role, wall_s=sum(seconds.values()), seconds=seconds, memory_mib=memory_mib)


def sft_step(step: int = 1, **fields: Any) -> SftStep:
    return msgspec.structs.replace(_SFT, step=step, **fields)


def note(text: str, **fields: Any) -> DriverNote:
    return DriverNote(note=text, **fields)
