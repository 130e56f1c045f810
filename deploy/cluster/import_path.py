"""Makes the rooms importable in the processes that this one starts: Ray's workers, vLLM's, sweep runs, the dashboard.

In a wheel the rooms lie in a folder that is not on the import path (see `deploy.launcher`), while a `conf` of another
distribution may be on it.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the rooms."""
ROOMS = ("actors", "broker", "conf", "deploy", "learner", "preprocess")
_VARIABLE = "PYTHONPATH"


def put_rooms_first() -> None:
    """Put the rooms first on `sys.path`, and in PYTHONPATH for child processes. Calling it again changes nothing."""
    root = str(ROOT)
    sys.path[:] = [root, *(entry for entry in sys.path if entry != root)]
    others = [entry for entry in os.environ.get(_VARIABLE, "").split(os.pathsep) if entry not in ("", root)]
    os.environ[_VARIABLE] = os.pathsep.join([root, *others])


def worker_environment() -> dict[str, str]:
    """Variables for a worker whose raylet was not started by this process and does not have its environment."""
    return {_VARIABLE: os.environ[_VARIABLE]} if os.environ.get("RAY_ADDRESS") and _VARIABLE in os.environ else {}


def shadowing_packages(folder: Path) -> list[Path]:
    """Packages of a folder that shadow rooms of the same names when the folder comes first on the import path."""
    if folder.resolve() == ROOT:
        return []
    return [folder / room for room in ROOMS if (folder / room / "__init__.py").exists()]
