"""The console script `pope`, installed as the package `pope_rl`. May import `deploy.cli`, after the path is set.

A wheel holds one top-level package, so that its `conf` or `deploy` cannot conflict with another distribution's:

    pope_rl/__init__.py    this file
    pope_rl/rooms/         conf, broker, actors, preprocess, learner, deploy

The rooms import each other by their top-level names. `main` makes these importable in its own process;
`deploy.cluster.import_path` does so for the processes that it starts.
"""

import sys
from pathlib import Path


def rooms_folder() -> Path:
    """The folder that holds the six rooms: `rooms` beside this file, or the repository in an editable install."""
    here = Path(__file__).resolve().parent
    packaged = here / "rooms"
    return packaged if packaged.is_dir() else here.parents[1]


def main() -> None:
    """Run a `pope` command. Nothing else was imported yet, so that no other `conf` is in `sys.modules`."""
    sys.path.insert(0, str(rooms_folder()))
    from deploy.cli import main as pope

    pope()
