"""The read model of a run: typed access to its Redis and its folder. Viewers read a run only through it.

`LiveView` polls the Redis of a run. `RunView` opens a run by its folder, and reads the files of a finished run, or its
Redis otherwise. Neither writes.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path

import msgspec

from actors.evaluation.results import Result
from broker.assignments import Assignments, Choice
from broker.balance import Balance, read_balance
from broker.connection import Client
from broker.group_locations import GroupLocations, read_group_locations
from broker.history import RoleHistory, read_history
from broker.keys import Keys
from broker.ledger import Ledger, LedgerRow
from broker.metrics import Control, HealthBoard, Heartbeats, Metrics, read_entries
from broker.reports import (
    ActorOutput,
    DriverNote,
    GroupEnd,
    Heartbeat,
    LearnerStep,
    PreprocessWork,
    R,
    Report,
    RoleTimes,
    WeightSync,
    from_fields,
    has_kind,
)
from broker.ring import Ring, RingGroup
from broker.run_record import read_run
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from conf.schema import RunConfig
from deploy.cluster.health import LATE_BEATS
from deploy.store import metric_files
from deploy.store.ledger_file import RunLedger, ledger_in_redis, load_ledger
from deploy.store.measurements import read_evaluations
from deploy.store.metric_files import Entry
from deploy.store.run_folder import RunFolder
from deploy.store.run_redis import find_run, run_redis
from deploy.store.starvation_file import Rows, load_starvation, starvation_in_redis
from learner.manifest import candidates, read_manifest


@dataclass(frozen=True)
class Reports:
    """Reports by kind, each kind oldest first."""

    learner: list[LearnerStep] = field(default_factory=list)
    groups: list[GroupEnd] = field(default_factory=list)
    syncs: list[WeightSync] = field(default_factory=list)
    outputs: list[ActorOutput] = field(default_factory=list)
    preprocess: list[PreprocessWork] = field(default_factory=list)
    times: list[RoleTimes] = field(default_factory=list)
    notes: list[DriverNote] = field(default_factory=list)

    @classmethod
    def of(cls, entries: Mapping[str, Iterable[Entry]]) -> "Reports":
        """`entries`: room -> its entries. Entries of unknown kinds are left out."""
        reports = cls()
        for name, kind in _KINDS.items():
            getattr(reports, name).extend(
                from_fields(kind, entry) for entry in entries.get(kind.room, ()) if has_kind(kind, entry)
            )
        return reports

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in _KINDS)


_KINDS: dict[str, type[Report]] = {
    "learner": LearnerStep,
    "groups": GroupEnd,
    "syncs": WeightSync,
    "outputs": ActorOutput,
    "preprocess": PreprocessWork,
    "times": RoleTimes,
    "notes": DriverNote,
}
"""Field of `Reports` -> kind."""
ROOMS = tuple(dict.fromkeys(kind.room for kind in _KINDS.values()))
assert tuple(_KINDS) == tuple(f.name for f in fields(Reports))


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of a run's Redis at one moment, and the stream entries since the previous snapshot, oldest first."""

    now_s: float
    """Unix seconds of the server."""
    run: dict[str, str]
    """The record of the run (`broker/run_record.py`)."""
    balance: Balance
    ring: list[RingGroup]
    version: int
    """Newest published policy version."""
    held: dict[str, int]
    """Actor -> policy version its engine holds."""
    heartbeats: dict[str, Heartbeat]
    """Role -> its newest heartbeat."""
    health: dict[str, str]
    """Role -> its health, as the driver concluded it."""
    stopped: str | None
    """Why the run was stopped; None if it was not."""
    oldest_s: float | None
    """Age of the oldest group on the rollout stream, seconds; None when the stream is empty."""
    reports: Reports
    replaced: list[Entry]
    """Groups that a full ring replaced (`broker/keys.py`)."""
    samples: list[Entry]
    """Readable rollouts (`broker/rollout_samples.py`)."""
    ratios: list[Entry]
    """Importance ratios of samples (`broker/rollout_samples.py`)."""
    evaluations: dict[int, list[Result]] = field(default_factory=dict)
    """Scheduled evaluations that are complete, by optimizer step; empty when they are the same as before."""

    def roles(self, *, heartbeat_s: float, active: bool) -> "list[RoleStatus]":
        """The roles by name. `heartbeat_s`: time between two heartbeats. `active`: whether a silent role is late."""
        late_after_s = LATE_BEATS * heartbeat_s
        return [
            RoleStatus(
                name=name,
                status=beat.status,
                silence_s=max(0.0, self.now_s - beat.unix_s),
                late=active and self.now_s - beat.unix_s > late_after_s,
                health=self.health.get(name, ""),
                version=self.held.get(name),
            )
            for name, beat in sorted(self.heartbeats.items())
        ]


class RoleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Status of one process of the run."""

    name: str
    status: str
    """What the role does or waits for, by its newest heartbeat."""
    silence_s: float
    """Seconds since its newest heartbeat."""
    late: bool
    """Silent for longer than a few heartbeats while the run is active."""
    health: str = ""
    """Health concluded by the driver (`deploy/cluster/health.py`); empty before the first."""
    version: int | None = None
    """Policy version its engine holds."""


class LiveView:
    """Polls the Redis of a run; each `refresh` returns only the stream entries since the previous one."""

    def __init__(self, client: Client, keys: Keys, folder: RunFolder | None = None) -> None:
        """`folder`: if given, the first `refresh` also returns reports that Redis no longer keeps."""
        self._client, self._keys, self._folder = client, keys, folder
        self._read_until: dict[str, str] = {}
        self._evaluated_ns = 0
        self._ring = Ring(client, keys, capacity=1)  # only read here; the capacity bounds what `put` stores
        self._stream = RolloutStream(client, keys)
        self._board = WeightBoard(client, keys)
        self._heartbeats = Heartbeats(client, keys)
        self._health = HealthBoard(client, keys)
        self._control = Control(client, keys)
        self._metrics = Metrics(client, keys)

    def refresh(self) -> Snapshot:
        """Reads the next snapshot. Raises the errors of redis while the server does not answer; no entry is lost."""
        seconds, microseconds = self._client.time()
        now_s = seconds + microseconds / 1e6
        oldest_ms = self._stream.oldest_unix_ms()
        # The streams are read last, so that they are never behind the counters shown beside them.
        return Snapshot(
            now_s=now_s,
            run=read_run(self._client, self._keys),
            balance=self.balance(),
            ring=self._ring.groups(),
            version=self._board.version(),
            held=self._board.held(),
            heartbeats=self._heartbeats.all(),
            health=self._health.all(),
            stopped=self._control.stopped(),
            oldest_s=None if oldest_ms is None else max(0.0, now_s - oldest_ms / 1e3),
            reports=Reports.of({room: self._entries(room) for room in ROOMS}),
            replaced=self._fresh(self._keys.replaced),
            samples=self._fresh(self._keys.samples),
            ratios=self._fresh(self._keys.samples_ratios),
            evaluations=self._fresh_evaluations(),
        )

    def balance(self) -> Balance:
        return read_balance(self._client, self._keys)

    def ledger_rows(self, *, outcomes: bool = True) -> list[LedgerRow]:
        """`outcomes` as in `Ledger.rows`."""
        return Ledger(self._client, self._keys).rows(outcomes=outcomes)

    def silence(self) -> dict[str, float]:
        """Role -> seconds since its newest heartbeat."""
        return self._heartbeats.silence()

    def status(self, role: str) -> str:
        """Status of a role's newest heartbeat; empty before the first."""
        return self._heartbeats.status(role)

    def _fresh_evaluations(self) -> dict[int, list[Result]]:
        """All evaluations, if their file has changed since the last call. They are in the folder only."""
        if self._folder is None or not self._folder.evaluations.exists():
            return {}
        changed_ns = self._folder.evaluations.stat().st_mtime_ns
        if changed_ns == self._evaluated_ns:
            return {}
        self._evaluated_ns = changed_ns
        return read_evaluations(self._folder.evaluations)

    def _entries(self, room: str) -> list[Entry]:
        key = self._keys.metrics(room)
        if self._folder is None or key in self._read_until:
            return self._fresh(key)
        return self._seen(key, list(metric_files.read_entries(self._folder.metrics, room, self._metrics)))

    def _fresh(self, key: str) -> list[Entry]:
        """The entries of a stream since the last call."""
        return self._seen(key, read_entries(self._client, key, self._read_until.get(key, "-")))

    def _seen(self, key: str, entries: list[Entry]) -> list[Entry]:
        if entries:
            self._read_until[key] = f"({entries[-1]['id']}"
        return entries


@dataclass(frozen=True)
class SavedCheckpoint:
    """A checkpoint in the run's folder."""

    name: str
    step: int
    sha256: str
    """Digest of its manifest, which has the digests of all its files."""


class RunView:
    """Reads a run by its folder. A context manager; connects to Redis only for data that no file has."""

    def __init__(self, path: Path, url: str | None = None) -> None:
        """`url` as in `run_redis`; if given, the ledger and the starvation table are read from Redis, not from files.

        Raises UsageError when the folder holds no run.
        """
        self.folder, self.config = find_run(path)
        self._url = url
        self._stack = ExitStack()
        self._redis: tuple[Client, Keys] | None = None

    def __enter__(self) -> "RunView":
        return self

    def __exit__(self, *exception: object) -> None:
        self._redis = None
        self._stack.close()

    def redis(self) -> tuple[Client, Keys]:
        """A reading client of the run's Redis, and its keys. Raises UsageError when it cannot be reached."""
        if self._redis is None:
            self._redis = self._stack.enter_context(run_redis(self.folder, self.config, self._url))
        return self._redis

    def live(self) -> LiveView:
        """A live view of the run's Redis."""
        return LiveView(*self.redis(), self.folder)

    def reports(self, kind: type[R]) -> Iterator[R]:
        """All reports of a kind, oldest first: from the files of a finished run, else also from its Redis."""
        from_files = self.finished and self._redis is None
        return metric_files.read_reports(self.folder.metrics, kind, None if from_files else Metrics(*self.redis()))

    @property
    def finished(self) -> bool:
        """Whether the run ended and wrote all its files; False for a killed run."""
        files = (metric_files.path_of(self.folder.metrics, room) for room in metric_files.REQUIRED_ROOMS)
        return self.folder.ledger.exists() and all(path.exists() for path in files)

    def balance(self) -> Balance:
        return read_balance(*self.redis())

    def ledger(self) -> RunLedger:
        """The ledger, from its file if there is one, else from Redis. A killed run leaves no file.

        Raises UsageError when neither can be read.
        """
        if self._url is None and self.folder.ledger.exists():
            return load_ledger(self.folder.ledger)
        return ledger_in_redis(*self.redis(), self.config.run.name)

    def starvation(self) -> Rows:
        """The starvation table; source as in `ledger`. Also raises PopeError when its records are inconsistent."""
        if self._url is None and self.folder.starvation.exists():
            return load_starvation(self.folder.starvation)
        return starvation_in_redis(*self.redis(), self.config)

    def histories(self) -> tuple[RoleHistory, ...]:
        """The events of each role."""
        return tuple(read_history(self.folder.path))

    def locations(self) -> GroupLocations:
        """The location of every group, from Redis."""
        return read_group_locations(*self.redis())

    def choices(self) -> tuple[Choice, ...]:
        """Group id -> what was recorded for it, from Redis; empty unless `RunConfig.records_assignments`."""
        return tuple(Assignments(*self.redis()).all())

    def checkpoints(self) -> tuple[SavedCheckpoint, ...]:
        """The checkpoints in the folder, ascending by step. Raises CheckpointError when a manifest is damaged."""
        manifests = [(path.name, read_manifest(path)) for _, path in sorted(candidates(self.folder.checkpoints))]
        return tuple(SavedCheckpoint(name, manifest["step"], manifest["sha256"]) for name, manifest in manifests)


def share_done(config: RunConfig, balance: Balance) -> float:
    """Used share of the step budget or of the rollout budget, whichever is larger, 0 to 1."""
    groups = balance.issued / balance.limit if balance.limit else 0.0
    return min(1.0, max(balance.committed / config.run.max_steps, groups))
