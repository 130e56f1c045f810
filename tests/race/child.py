"""A run as a child process, with its output in a file."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from broker.errors import PopeError
from deploy.cluster.interrupts import die_with_parent
from tests.race.racers import REPOSITORY

POLL_S = 0.5
STOP_S = 30.0
"""Time a run has to end its own processes before it is killed."""
TAIL_LINES = 12


def run(command: Sequence[str], log: Path, every_poll: Callable[[], None]) -> None:
    """Run a command until it ends; `every_poll` is called about twice a second. Ends it when interrupted.

    Raises PopeError with the end of its output when it fails.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches it once, from here
            preexec_fn=die_with_parent(),
        )
    try:
        while _runs(process):
            every_poll()
    finally:
        _stop(process)
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise PopeError(f"the run failed with exit code {process.returncode}; the end of {log}:\n{tail}")


def _environment() -> dict[str, str]:
    """This one, with the rooms on the import path, and without a cluster that a run could join."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get("PYTHONPATH"))))
    return kept | {"PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false"}


def _runs(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Interrupt it and wait; kill it after `STOP_S`."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
