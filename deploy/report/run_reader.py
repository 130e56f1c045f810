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
from broker.reports import (
    ACTORS,
    GROUPS,
    LEARNER,
    ActorOutput,
    GroupEnd,
    LearnerStep,
    PreprocessWork,
    RoleTimes,
    WeightSync,
)
from conf.schema import RunConfig
from deploy.report.run_records import RolloutOutcomes, RunRecords
from deploy.store.ledger_file import load_ledger
from deploy.store.measurements import Measurement, read_evaluations
from deploy.store.metric_files import path_of, read_reports
from deploy.store.run_folder import RunFolder
from deploy.store.run_redis import find_run, run_redis

T = TypeVar("T")
D = TypeVar("D")
ROOMS = (GROUPS, LEARNER, ACTORS)
"""The reports without which a run has not finished."""
SWEEP = "sweep.json"


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """The run folders that the paths name. The folder of a sweep is replaced by its runs, in the order of the sweep.

    Raises UsageError for a run that is named twice and for a damaged sweep.json.
    """
    found: list[Path] = []
    for path in paths:
        inside = _in_sweep_order(path, sorted(each.parent for each in path.glob("*/settings.yaml")))
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


def _in_sweep_order(folder: Path, runs: Sequence[Path]) -> list[Path]:
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
            missing.append(f"{file.name}: missing (not written yet, or the run was killed); the report lacks {lacks}")
    return RunRecords(
        path=path,
        config=config,
        over=bool(summary) and streams.over,
        problems=problems,
        groups=streams.groups,
        learner=streams.learner,
        outputs=streams.outputs,
        syncs=streams.syncs,
        times=streams.times,
        preprocess_s=streams.preprocess_s,
        ledger=streams.ledger,
        measured=measured,
        evaluations=_guarded(folder.evaluations, lambda: read_evaluations(folder.evaluations), {}),
        balance=streams.balance,
        summary=summary,
        rollout_outcomes=_json(folder.starvation, list[RolloutOutcomes], []),
        missing=missing,
    )


@dataclass(frozen=True)
class _Streams:
    """Records that are in Redis during a run and in its folder afterwards."""

    over: bool
    groups: Sequence[GroupEnd]
    learner: Sequence[LearnerStep]
    outputs: Sequence[ActorOutput]
    syncs: Sequence[WeightSync]
    times: Sequence[RoleTimes]
    preprocess_s: Sequence[float]
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
            ledger, balance = Ledger(client, keys).rows(), read_balance(client, keys)
            return _with_reports(folder, Metrics(client, keys), over=False, ledger=ledger, balance=balance)
    except PopeError as error:
        if own_url is not None:
            raise
        missing.append(f"{', '.join(absent)}: not written, and the run's Redis cannot be read: {error}")
        return _from_files(folder, over=False)


def _from_files(folder: RunFolder, *, over: bool) -> _Streams:
    ledger = load_ledger(folder.ledger).rows if folder.ledger.exists() else ()
    return _with_reports(folder, None, over=over, ledger=ledger, balance=_json(folder.balance, Balance, None))


def _with_reports(
    folder: RunFolder, metrics: Metrics | None, *, over: bool, ledger: Sequence[LedgerRow], balance: Balance | None
) -> _Streams:
    return _Streams(
        over=over,
        groups=list(read_reports(folder.metrics, GroupEnd, metrics)),
        learner=list(read_reports(folder.metrics, LearnerStep, metrics)),
        outputs=list(read_reports(folder.metrics, ActorOutput, metrics)),
        syncs=list(read_reports(folder.metrics, WeightSync, metrics)),
        times=list(read_reports(folder.metrics, RoleTimes, metrics)),
        preprocess_s=[report.unix_s for report in read_reports(folder.metrics, PreprocessWork, metrics)],
        ledger=ledger,
        balance=balance,
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
