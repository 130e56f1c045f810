"""The devices of this machine, seen without loading torch."""

import os
from pathlib import Path


def num_gpus() -> int:
    """NVIDIA GPUs that a process may use here: those of the driver, or of CUDA_VISIBLE_DEVICES if it is set."""
    present = sum(path.name.removeprefix("nvidia").isdecimal() for path in Path("/dev").glob("nvidia*"))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return present
    named = [device for device in visible.split(",") if device.strip() not in ("", "-1")]
    return min(present, len(named))


def num_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))
