"""What a replay is to train, and what it leaves behind. Light: whoever asks for one needs no torch."""

from dataclasses import dataclass
from pathlib import Path

STEPS = "steps.jsonl"
"""In the replay's folder: the metrics of each step, a line each, as they are trained."""


@dataclass(frozen=True)
class ReplayPlan:
    """Steps `first` + 1 ... `last`."""

    first: int
    """The step whose weights it begins with; 0: those training began with."""
    last: int
    start: Path
    """Folder of the checkpoint of step `first`, or of the model training began with."""
    out: Path
    """Where the metrics and the weights of step `last` go."""
