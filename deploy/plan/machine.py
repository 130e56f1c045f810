"""Memory, bandwidth and arithmetic of the devices of a run: GPUs by their data sheets, CPU threads by assumption."""

from dataclasses import dataclass

from conf.schema import RunConfig


@dataclass(frozen=True)
class Device:
    """What one engine or one rank runs on."""

    memory_bytes: float | None
    """None: main memory, which is not planned."""
    flops: float
    """Peak, FLOPs a second."""
    bandwidth: float
    """Bytes a second from memory."""
    decode_overhead_s: float
    """Of a decode step besides memory and arithmetic: scheduling, sampling, kernel launches. Assumed."""


GPUS = {
    "h100-80gb": Device(80e9, 989e12, 3.35e12, 0.004),
    "h200-141gb": Device(141e9, 989e12, 4.8e12, 0.004),
    "a100-80gb": Device(80e9, 312e12, 2.04e12, 0.004),
    "a100-40gb": Device(40e9, 312e12, 1.555e12, 0.004),
    "l40s-48gb": Device(48e9, 362e12, 0.864e12, 0.004),
    "rtx4090-24gb": Device(24e9, 165e12, 1.008e12, 0.004),
    "l4-24gb": Device(24e9, 121e12, 0.3e12, 0.004),
}
"""`plan.gpu` -> memory, dense bfloat16 FLOPs and bandwidth of the data sheet."""
THREAD_FLOPS, THREAD_BANDWIDTH, CPU_OVERHEAD_S = 1e11, 1e10, 0.01
"""Assumed of a CPU thread with AVX-512."""
START_S = {"cuda": 300.0, "cpu": 30.0}
"""Assumed: roles, Redis, Ray and the model up."""


def engine_device(config: RunConfig) -> Device:
    """One of the GPUs of an engine, or its threads."""
    return GPUS[config.plan.gpu] if config.deploy.device == "cuda" else _threads(config.actors.threads)


def rank_device(config: RunConfig) -> Device:
    """The GPU of a learner rank, or its threads."""
    return GPUS[config.plan.gpu] if config.deploy.device == "cuda" else _threads(config.learner.threads)


def start_s(config: RunConfig) -> float:
    """Time to start the roles, seconds."""
    return START_S[config.deploy.device] if config.plan.start_s is None else config.plan.start_s


def _threads(number: int) -> Device:
    return Device(None, number * THREAD_FLOPS, number * THREAD_BANDWIDTH, CPU_OVERHEAD_S)
