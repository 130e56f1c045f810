"""The CPUs and GPUs each role needs. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from conf.schema import RunConfig

RoleKind = Literal["actor", "preprocess", "learner"]

SHARED_CPU = 0.1
"""CPUs a role reserves. Roles share the cores of a machine and set their own thread counts, so Ray only places them."""


@dataclass(frozen=True)
class Demand:
    """Resources that one role needs."""

    role: str
    """Kind and number: `actor-0`."""
    num_cpus: float
    num_gpus: float

    @property
    def kind(self) -> RoleKind:
        return cast(RoleKind, self.role.rpartition("-")[0])


def actor_demands(config: RunConfig) -> list[Demand]:
    """One entry for each engine: all that sampling needs."""
    gpus = config.actors.tensor_parallel * _gpu(config)
    return [Demand(f"actor-{i}", SHARED_CPU, gpus) for i in range(config.actors.num_actors)]


def learner_demands(config: RunConfig) -> list[Demand]:
    """One entry for each DeepSpeed rank."""
    return [Demand(f"learner-{i}", SHARED_CPU, _gpu(config)) for i in range(config.learner.num_ranks)]


def _gpu(config: RunConfig) -> float:
    """GPUs of a rank, of a reference model, or of an engine without tensor parallelism."""
    if config.deploy.device == "cpu":
        return 0
    if not config.deploy.share_gpu:
        return 1
    references = config.preprocess.num_workers if config.learner.kl_coef > 0 else 0
    return math.floor(1e4 / (2 + references)) / 1e4  # Ray counts in parts of 1e-4


def demands(config: RunConfig) -> list[Demand]:
    """One entry for each role of a training run: actors first, then preprocessors, then learner ranks."""
    # With a KL penalty each preprocessor runs the reference model, on a GPU where the learner has GPUs.
    reference_gpus = _gpu(config) if config.learner.kl_coef > 0 else 0
    return [
        *actor_demands(config),
        *(Demand(f"preprocess-{i}", SHARED_CPU, reference_gpus) for i in range(config.preprocess.num_workers)),
        *learner_demands(config),
    ]


def largest(*stages: Sequence[Demand]) -> list[Demand]:
    """Of stages that run one after another, the one that needs most GPUs, then most CPUs."""
    return list(max(stages, key=lambda stage: (sum(d.num_gpus for d in stage), sum(d.num_cpus for d in stage))))


def shortage(config: RunConfig, needed: Sequence[Demand], *, cpus: float, gpus: float) -> str | None:
    """A sentence that names what the cluster lacks, or None when every role fits."""
    need_cpus, need_gpus = sum(d.num_cpus for d in needed), sum(d.num_gpus for d in needed)
    if need_gpus > gpus:
        reference = (
            f"; learner.kl_coef={config.learner.kl_coef:g} takes one for each of "
            f"preprocess.num_workers={config.preprocess.num_workers}"
        )
        return (
            f"the roles need {need_gpus:g} GPUs and the cluster has {gpus:g}: lower actors.num_actors="
            f"{config.actors.num_actors}, actors.tensor_parallel={config.actors.tensor_parallel} or "
            f"learner.num_ranks={config.learner.num_ranks}"
            + (f", sft.num_ranks={config.sft.num_ranks}" if config.sft.enabled else "")
            + f", or use hardware=cpu{reference if config.learner.kl_coef > 0 else ''}"
        )
    if need_cpus > cpus:
        return f"the roles need {need_cpus:g} CPUs and the cluster has {cpus:g}: lower the number of actors or ranks"
    return None
