"""Input and output of a replay. Imported by the command line, so without torch."""

from dataclasses import dataclass
from pathlib import Path

STEPS = "steps.jsonl"
"""File in the replay's folder: the metrics of each step, one line per step."""


@dataclass(frozen=True)
class ReplayPlan:
    """Trains steps `first` + 1 ... `last` again."""

    first: int
    """The step whose weights the replay starts from; 0: the weights that training started from."""
    last: int
    start: Path
    """Folder of the checkpoint of step `first`, or of the model that training started from."""
    out: Path
    """Folder for the metrics of all steps and the weights of step `last`."""
