"""Reads the records of a run: from its files when it has finished, otherwise from its Redis.

A run that was killed has only some of its files. A missing file is noted in `RunRecords.missing`; a damaged one is an
error.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from broker.balance import Balance, read_balance
from broker.errors import PopeError, UsageError
from broker.ledger import Ledger, LedgerRow
from broker.metrics import Metrics
from broker.records import Problem
from conf.schema import RunConfig
from deploy.report.curves import moment
from deploy.report.run_records import Group, News, RolloutOutcomes, RunRecords
from deploy.store.ledger_file import load_ledger
from deploy.store.measurements import Measurement, read_evaluations
from deploy.store.metric_files import path_of, read_entries
from deploy.store.run_folder import RunFolder
from deploy.store.run_redis import find_run, run_redis

T = TypeVar("T")
D = TypeVar("D")
ROOMS = ("groups", "learner", "actors")
LIFE = "preprocess"
"""The room whose reports only show when the run was working."""
SWEEP = "sweep.json"


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """The run folders that the paths name. The folder of a sweep stands for its runs, in the order of the sweep.

    Raises UsageError for a run that is named twice and for a damaged sweep.json.
    """
    found: list[Path] = []
    for path in paths:
        inside = _in_order(path, sorted(each.parent for each in path.glob("*/settings.yaml")))
        found += [path] if RunFolder(path).settings.exists() or not inside else inside
    for path in found:
        if [each.resolve() for each in found].count(path.resolve()) > 1:
            raise UsageError(f"{path} is named twice; name each run once")
    return found


class _SweepRun(msgspec.Struct):
    name: str
    experiment: str


class _Sweep(msgspec.Struct):
    """The part of sweep.json that is read."""

    experiments: list[str]
    runs: list[_SweepRun]


def _in_order(folder: Path, runs: Sequence[Path]) -> list[Path]:
    """In the order of the sweep's experiments, so that colours stay the same while it runs; other runs come last."""
    sweep = _json(folder / SWEEP, _Sweep, _Sweep([], []))
    experiment = {run.name: run.experiment for run in sweep.runs}
    place = {name: number for number, name in enumerate(sweep.experiments)}
    return sorted(runs, key=lambda path: place.get(experiment.get(path.name, ""), len(place)))


def read_run(path: Path, url: str | None = None) -> RunRecords:
    """The records of one run. `url`: as in `run_redis`, for a running run with an external Redis.

    Raises UsageError when the folder holds no run, a file is damaged, or the Redis at `url` does not answer.
    """
    folder, config = find_run(path)
    missing: list[str] = []
    streams = _streams(folder, config, url, missing)
    problems = _lines(folder.problems, Problem)
    measured = _guarded(folder.measurements, lambda: Measurement.load(folder.measurements).results, {})
    summary = _json(folder.summary, dict[str, Any], {})
    for file, there, lacks in (
        (folder.problems, problems, "the statements of the problems and where their guidance ends"),
        (folder.measurements, measured, "solve rates before and after training"),
        (folder.summary, summary, "why and when the run ended"),
    ):
        if not there:
            missing.append(f"{file.name}: not there (yet, or the run was killed); the report lacks {lacks}")
    return RunRecords(
        path=path,
        config=config,
        over=bool(summary) and streams.over,
        problems=problems,
        groups=streams.groups,
        learner=streams.learner,
        actors=streams.actors,
        signs_of_life=streams.signs_of_life,
        ledger=streams.ledger,
        measured=measured,
        evaluations=_guarded(folder.evaluations, lambda: read_evaluations(folder.evaluations), {}),
        balance=streams.balance,
        summary=summary,
        rollout_outcomes=_json(folder.starvation, list[RolloutOutcomes], []),
        missing=missing,
    )


class _Sign(msgspec.Struct):
    """The part of a report that shows when the run was working."""

    id: str


@dataclass(frozen=True)
class _Streams:
    """Records that are in Redis while a run goes on, and in its folder afterwards."""

    over: bool
    groups: Sequence[Group]
    learner: Sequence[News]
    actors: Sequence[News]
    signs_of_life: Sequence[float]
    ledger: Sequence[LedgerRow]
    balance: Balance | None


def _streams(folder: RunFolder, config: RunConfig, url: str | None, missing: list[str]) -> _Streams:
    """From the folder when it has the ledger and all metrics; otherwise from Redis.

    When Redis cannot be read, either, the files that exist are used; but a Redis that the user named must answer.
    """
    files = folder.ledger, *(path_of(folder.metrics, room) for room in ROOMS)
    absent = [path.name for path in files if not path.exists()]
    if not absent:
        return _from_files(folder, over=True)
    own_url = url if config.broker.url is not None else None
    try:
        with run_redis(folder, config, own_url) as (client, keys):
            metrics = Metrics(client, keys)
            groups, learner, actors = (list(read_entries(folder.metrics, room, metrics)) for room in ROOMS)
            return _Streams(
                over=False,
                groups=msgspec.convert(groups, list[Group], strict=False),
                learner=learner,
                actors=actors,
                signs_of_life=[moment(news) for news in read_entries(folder.metrics, LIFE, metrics)],
                ledger=Ledger(client, keys).rows(),
                balance=read_balance(client, keys),
            )
    except PopeError as error:
        if own_url is not None:
            raise
        missing.append(f"{', '.join(absent)}: not written, and the run's Redis cannot be read: {error}")
        return _from_files(folder, over=False)


def _from_files(folder: RunFolder, *, over: bool) -> _Streams:
    groups, learner, actors = (path_of(folder.metrics, room) for room in ROOMS)
    return _Streams(
        over=over,
        groups=_lines(groups, Group),
        learner=_lines(learner, News),
        actors=_lines(actors, News),
        signs_of_life=[moment({"id": sign.id}) for sign in _lines(path_of(folder.metrics, LIFE), _Sign)],
        ledger=load_ledger(folder.ledger).rows if folder.ledger.exists() else (),
        balance=_json(folder.balance, Balance, None),
    )


def _json(path: Path, kind: type[T], absent: D) -> T | D:
    return _guarded(path, lambda: msgspec.json.decode(path.read_bytes(), type=kind, strict=False), absent)


def _lines(path: Path, kind: type[T]) -> list[T]:
    """One record per line; numbers may be quoted, as Redis returns them. An incomplete last line is ignored."""
    decoder = msgspec.json.Decoder(kind, strict=False)
    return _guarded(path, lambda: [decoder.decode(line) for line in path.read_bytes().split(b"\n")[:-1]], [])


def _guarded(path: Path, read: Callable[[], T], absent: D) -> T | D:
    """The result of `read`, or `absent` when there is no such file. Raises UsageError when it is damaged."""
    if not path.exists():
        return absent
    try:
        return read()
    except ValueError as error:  # msgspec and Python raise it for bytes they cannot decode
        raise UsageError(f"{path} is damaged: {error}; move it away to get a report without it") from error
