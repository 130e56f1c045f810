"""The folder of one run: its files, and the lock that lets one process at a time use it.

    settings.yaml       the resolved settings
    problems.jsonl      the problems, with the guidance chosen for each
    provenance.json     which command, model and prompts made them; `pope train --from FOLDER` hands them on
    guidance.json       number of hard problems by the kind of their guidance (`PrefixKind`)
    rejected.jsonl      rows of problems.source that are never trained on, and why
    measurements.json   solve counts per problem before and after training
    evaluations.json    the same during training, by optimizer step
    metrics/ROOM.jsonl  every report of the room (`broker/reports.py`)
    samples.md          rollouts as text
    checkpoints/        verified checkpoints, newest named by LATEST
    console.log         what the command printed
    handshake.json      what every role found on its node at the start
    logs/ROLE.log       output of each role
    history/ROLE.jsonl  events of each role, by group, step and policy version; `pope audit` checks them
    sampling/           every rollout of the measurements and of the search for guidance
    sft.jsonl           demonstrations of supervised fine-tuning (this and the next two: only with sft.data)
    sft_left_out.jsonl  problems and lines without a demonstration, and why
    sft/                model/: the fine-tuned model; checkpoints/ while it is trained; summary.json; loss.png
    redis/              data of the embedded server
    LOGGER/             files and progress of a logger of deploy.loggers or `pope export` (`deploy/loggers/`)
    ledger.json         attempts and successes of every problem under every arm; absent while the run is active
    starvation.json     outcomes of all rollouts by bucket, arm and length; absent while the run is active
    summary.json, figure.png, balance.json
"""

import fcntl
import os
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from broker.errors import UsageError
from broker.records import Problem
from conf.schema import RunConfig
from deploy.store.ray_job import require_lasting_root


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run. Nothing is created until `open`."""

    path: Path

    @classmethod
    def of(cls, config: RunConfig) -> "RunFolder":
        return cls(Path(config.run.root).expanduser().resolve() / config.run.name)

    @property
    def settings(self) -> Path:
        return self.path / "settings.yaml"

    @property
    def problems(self) -> Path:
        return self.path / "problems.jsonl"

    @property
    def guidance(self) -> Path:
        return self.path / "guidance.json"

    @property
    def rejected(self) -> Path:
        return self.path / "rejected.jsonl"

    @property
    def measurements(self) -> Path:
        return self.path / "measurements.json"

    @property
    def evaluations(self) -> Path:
        return self.path / "evaluations.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics"

    @property
    def samples(self) -> Path:
        return self.path / "samples.md"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def console(self) -> Path:
        return self.path / "console.log"

    @property
    def handshake(self) -> Path:
        return self.path / "handshake.json"

    @property
    def sampling(self) -> Path:
        return self.path / "sampling"

    @property
    def demonstrations(self) -> Path:
        return self.path / "sft.jsonl"

    @property
    def left_out(self) -> Path:
        return self.path / "sft_left_out.jsonl"

    @property
    def sft(self) -> Path:
        return self.path / "sft"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def summary(self) -> Path:
        return self.path / "summary.json"

    @property
    def figure(self) -> Path:
        return self.path / "figure.png"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.json"

    @property
    def starvation(self) -> Path:
        return self.path / "starvation.json"

    @property
    def balance(self) -> Path:
        return self.path / "balance.json"

    def save_problems(self, problems: list[Problem]) -> None:
        lines = b"\n".join(msgspec.json.encode(problem) for problem in problems)
        _replace(self.problems, lines + b"\n")

    def load_problems(self) -> list[Problem]:
        decoder = msgspec.json.Decoder(Problem)
        return [decoder.decode(line) for line in self.problems.read_bytes().splitlines()]

    def save_json(self, path: Path, value: object) -> None:
        self.save_bytes(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")

    def save_bytes(self, path: Path, content: bytes) -> None:
        _replace(path, content)


class FolderLock:
    """Held while a process uses the run's folder; the kernel releases it when that process ends for any reason."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Raises UsageError naming the owner when another process holds the folder."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            file = self._path.open("a+")
        except OSError as error:
            raise UsageError(
                f"run.root={self._path.parent.parent}: no run folder can be made there ({error.strerror}); name a "
                "folder that can be written"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "another process"
            raise UsageError(
                f"run folder {self._path.parent} is in use by {owner}: wait for it, stop it, or choose another run.name"
            ) from None
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {socket.gethostname()}")
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file:
            self._file.close()
            self._file = None


def is_in_use(folder: Path) -> bool:
    """Whether a process holds the lock of the run's folder."""
    try:
        with (folder / "lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def undo_start(folder: RunFolder, moved: Path | None) -> Path | None:
    """Remove the folder of a run that did not start; an earlier run of that name gets it back.

    Returns the folder to which the logs of roles were saved, if there are any: `.failed/NAME` beside the run's.
    """
    logs = None
    if any(log.stat().st_size for log in folder.logs.glob("*")):
        logs = folder.path.parent / FAILED / folder.path.name
        shutil.rmtree(logs, ignore_errors=True)
        logs.parent.mkdir(exist_ok=True)
        folder.logs.rename(logs)
    shutil.rmtree(folder.path, ignore_errors=True)
    if moved is not None and not folder.path.exists():
        moved.rename(folder.path)
    return logs


FAILED = ".failed"
"""Folder in `run.root` with the logs of the newest start of each name that failed."""


def open_run_folder(config: RunConfig) -> tuple[RunFolder, FolderLock, Path | None]:
    """Locks the folder of a run and creates its subfolders; only its owner may enter it. An earlier run's folder is
    renamed to NAME.NUMBER.

    Returns the folder, its lock, and the new path of an earlier run of that name, if there was one.
    Raises UsageError when the folder is in use, when there is nothing to resume, when the problems or the model of the
    run are in the folder that would be renamed, and in a Ray job whose `run.root` would not outlive it.
    """
    require_lasting_root(config.run.root)
    folder = RunFolder.of(config)
    path = folder.path
    if config.run.resume and not folder.settings.exists():
        raise UsageError(f"run.resume=true, but {path} holds no run: check run.name and run.root, or leave it out")
    if not config.run.resume:
        _refuse_own_input(config, path)
    lock = FolderLock(path)
    lock.acquire()
    moved = None
    if not config.run.resume and folder.settings.exists():
        lock.release()
        moved = _next_free(path)
        path.rename(moved)
        lock = FolderLock(path)
        lock.acquire()
    path.chmod(0o700)  # it holds prompts, rollouts and weights, and whatever a role writes, under any umask
    for part in (folder.metrics, folder.checkpoints, folder.logs):
        part.mkdir(parents=True, exist_ok=True)
    return folder, lock, moved


def _refuse_own_input(config: RunConfig, path: Path) -> None:
    for name, value in (("problems.source", config.problems.source), ("model.path", config.model.path)):
        file = Path(value).expanduser()
        if file.exists() and file.resolve().is_relative_to(path):
            raise UsageError(
                f"{name}={value} is in {path}, the folder of the run itself (run.name={config.run.name}): choose "
                "another run.name"
            )


def _next_free(path: Path) -> Path:
    number = 1
    while (candidate := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return candidate


def _replace(path: Path, content: bytes) -> None:
    """Writes the file atomically."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(content)
    os.replace(temporary, path)
