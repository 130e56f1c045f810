"""What one logger has of one run: a folder with the files of the logger, and a record of how far it is.

    pope.json   the id of the run at the logger, and the first step that was not written
    pope.lock   held by the process that writes

Whoever opens the folder next continues the same run at the logger: a resumed run, or `pope export`.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from broker.errors import PopeError, UsageError
from conf.schema import LoggerName, RunConfig
from deploy.loggers.writers import Writer, require_libraries
from deploy.store.step_numbers import Rows


class LoggerFailed(PopeError):
    """The library of a logger raised an error."""


class Progress(msgspec.Struct, frozen=True):
    """How far a logger is."""

    run: str
    """Id of the run at the logger."""
    next_step: int
    """The first step that was not written."""


class Destination:
    """Writes rows, and records the last one."""

    def __init__(self, name: LoggerName, writer: Writer, record: Path, next_step: int) -> None:
        self._name, self._writer, self._record = name, writer, record
        self.next_step = next_step
        """The first step that was not written."""
        self._save()  # a failure before the first step must not begin another run

    def write(self, rows: Rows) -> None:
        """Rows of steps from `next_step` on, ascending. Raises LoggerFailed."""
        for step, numbers in rows.items():
            with _calls(self._name):
                self._writer.write(step, numbers)
            self.next_step = step + 1
            self._save()

    def _save(self) -> None:
        temporary = self._record.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(Progress(self._writer.run, self.next_step)))
        os.replace(temporary, self._record)


@contextmanager
def destination(name: LoggerName, config: RunConfig, folder: Path) -> Iterator[Destination]:
    """Opens the run at the logger. At the end everything is written; after an error, what the library had written.

    Raises UsageError when the library is missing, the folder cannot be written, or another process writes there;
    LoggerFailed for an error of the library.
    """
    require_libraries([name])
    record = folder / "pope.json"
    with _locked(folder):
        known = _read(record)
        progress = known or Progress(f"{config.run.name}-{secrets.token_hex(4)}", 0)
        with _calls(name):
            writer = _opened(name, config, folder, progress.run, resumed=known is not None)
        yield Destination(name, writer, record, progress.next_step)
        with _calls(name):
            writer.close()


def _opened(name: LoggerName, config: RunConfig, folder: Path, run: str, *, resumed: bool) -> Writer:
    """`folder`: for the files of the library. `run`: id of the run; the logger may choose another (`Writer.run`).
    `resumed`: the run was begun before."""
    match name:
        case "wandb":
            from deploy.loggers.to_wandb import open_writer as open_wandb

            return open_wandb(config, folder, run, resumed=resumed)
        case "tensorboard":
            from deploy.loggers.to_tensorboard import open_writer as open_tensorboard

            return open_tensorboard(config, folder, run, resumed=resumed)
        case "trackio":
            from deploy.loggers.to_trackio import open_writer as open_trackio

            return open_trackio(config, folder, run, resumed=resumed)
        case "mlflow":
            from deploy.loggers.to_mlflow import open_writer as open_mlflow

            return open_mlflow(config, folder, run, resumed=resumed)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "pope.lock").open("w")
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}; name a folder that can be written with --out") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"another process writes to {folder}, such as the run itself: wait for its end, or name another folder "
                "with --out"
            ) from None
        yield


def _read(record: Path) -> Progress | None:
    try:
        return msgspec.json.decode(record.read_bytes(), type=Progress)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise UsageError(f"{record} is damaged: {error}; move its folder away to write everything again") from error


@contextmanager
def _calls(name: LoggerName) -> Iterator[None]:
    """Any error of the library as LoggerFailed."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise LoggerFailed(f"the logger {name} failed: {type(error).__name__}: {reason}") from error
