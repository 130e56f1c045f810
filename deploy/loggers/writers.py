"""What every logger has in common: a way to write, and a library that must be there."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Protocol

from broker.errors import UsageError
from conf.schema import LoggerName

PROJECT = "pope-rl"
"""Project, or experiment, of the runs where the environment names no other."""
LIBRARIES: dict[LoggerName, str] = {
    "wandb": "wandb",
    "tensorboard": "tensorboardX",
    "trackio": "trackio",
    "mlflow": "mlflow",
}
"""Logger -> the package that it needs."""


class Writer(Protocol):
    """One run at one logger. Steps come in ascending order, each once."""

    run: str
    """Id under which the same run is continued later."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write all numbers of an optimizer step, by name."""

    def close(self) -> None:
        """Wait until everything is written."""


def require_libraries(names: Iterable[LoggerName]) -> None:
    """Raises UsageError, with the command that installs it, when the library of a logger is missing."""
    for name in names:
        library = LIBRARIES[name]
        if not _is_installed(library):
            raise UsageError(f"the logger {name} needs a package that is not installed: pip install {library}")


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ValueError:  # of a module without a spec, such as a replacement in `sys.modules`
        return True
