"""Who races: pope or TRL, each under some settings. A racer says how it is started and what it has finished so far."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from broker.errors import UsageError
from broker.history import read_history
from broker.reports import GroupEnd
from deploy.store.metric_files import read_reports
from tests.race.course import Course
from tests.race.outcome import Group, Trainer
from tests.race.trl_settings import TrlJob, TrlLine, TrlSettings

REPOSITORY = Path(__file__).parents[2]


class Racer(Protocol):
    """One row of the table."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> tuple[str, ...]:
        """KEY=VALUE that make this racer."""

    @property
    def trainer(self) -> Trainer: ...

    def command(self, course: Course, seed: int) -> list[str]:
        """The command of one run. What an earlier, unfinished run left behind is out of its way."""

    def finished(self, course: Course, seed: int) -> list[Group]:
        """The groups that this run has finished so far, in that order; it may still run."""

    def version(self, course: Course, seed: int) -> str:
        """What was run."""


@dataclass(frozen=True)
class Pope:
    """`pope train` under `settings`."""

    name: str
    settings: tuple[str, ...] = ()
    trainer: Trainer = "pope"

    def command(self, course: Course, seed: int) -> list[str]:
        words = course.pope_words(f"{self.name}-{seed}", seed)
        return [sys.executable, "-P", "-m", "deploy.train", *words, *self.settings]

    def finished(self, course: Course, seed: int) -> list[Group]:
        folder = course.work / f"{self.name}-{seed}"
        events = [line.event for role in read_history(folder) if role.role.startswith("actor") for line in role.lines]
        begins = [event.at for event in events if event.what == "start"]
        if not begins:
            return []
        # An actor says when it published a group; its counts are in the report of the preprocessor that read it next.
        published = {event.group_id: event.at for event in events if event.what == "publish"}
        ended = [(published.get(end.group_id, end.unix_s), end) for end in read_reports(folder / "metrics", GroupEnd)]
        return [
            Group(end.arm, round(at - min(begins), 3), end.successes, end.rollouts)
            for at, end in sorted(ended, key=lambda one: (one[0], one[1].group_id))
        ]

    def version(self, course: Course, seed: int) -> str:
        return commit()


@dataclass(frozen=True)
class Trl:
    """TRL's GRPOTrainer under `settings`, which are fields of `TrlSettings`."""

    name: str
    settings: tuple[str, ...] = ()
    python: Path = Path(".race-venv/bin/python")
    """The interpreter that has TRL."""
    trainer: Trainer = "trl"

    def command(self, course: Course, seed: int) -> list[str]:
        if not self.python.exists():
            raise UsageError(f"{self.python}: there is no such interpreter, `make race` makes it; or give --trl-python")
        file, out = self._files(course, seed)
        out.unlink(missing_ok=True)
        job: TrlJob = course.trl_job(trl_settings(self.settings), out, seed)
        file.write_bytes(msgspec.json.encode(job))
        return [str(self.python.absolute()), "-m", "tests.race.trl_trainer", str(file)]

    def finished(self, course: Course, seed: int) -> list[Group]:
        lines = self._lines(course, seed)
        began = next(lines, None)
        if began is None:
            return []
        return [Group(line.arm, round(line.at - began.at, 3), line.successes, line.rollouts) for line in lines]

    def version(self, course: Course, seed: int) -> str:
        return f"TRL {next(self._lines(course, seed)).version}"

    def _lines(self, course: Course, seed: int) -> Iterator[TrlLine]:
        out = self._files(course, seed)[1]
        decoder = msgspec.json.Decoder(TrlLine)
        text = out.read_bytes() if out.exists() else b""
        return (decoder.decode(line) for line in text[: text.rfind(b"\n") + 1].splitlines())

    def _files(self, course: Course, seed: int) -> tuple[Path, Path]:
        """(its job, its groups)"""
        stem = course.work / f"{self.name}-{seed}"
        return stem.with_name(stem.name + ".job.json"), stem.with_name(stem.name + ".groups.jsonl")


def trl_settings(words: Sequence[str]) -> TrlSettings:
    """KEY=VALUE -> settings. Raises UsageError with the word and the names there are."""
    pairs = dict(word.partition("=")[::2] for word in words)
    try:
        return msgspec.convert(
            {key: None if value in ("null", "") else value for key, value in pairs.items()}, TrlSettings, strict=False
        )
    except msgspec.ValidationError as error:
        names = ", ".join(TrlSettings.__struct_fields__)
        raise UsageError(f"--trl {' '.join(words)}: {error}; the settings of TRL are {names}") from error


def commit() -> str:
    """The commit of this repository, `-dirty` if it was changed since; "unknown" without git."""
    words = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
