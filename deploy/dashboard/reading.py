"""One look at a run's Redis: what stands there now, and what its streams brought since the last look.

Where the run's folder is known, the first look also brings the reports that Redis gave up since.
"""

from dataclasses import dataclass
from pathlib import Path

from broker.balance import Balance, read_balance
from broker.connection import Client
from broker.keys import Keys
from broker.metrics import Control, HealthBoard, Heartbeats, Metrics, read_entries
from broker.ring import Ring, RingGroup
from broker.run_record import read_run
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from deploy.store.metric_files import read_reports

ROOMS = ("learner", "groups", "actors", "preprocess", "deploy")

Entry = dict[str, str]
"""One entry of a stream, its id under `id`."""


@dataclass(frozen=True, kw_only=True)
class News:
    """What one look brought. Streams hold only what is new, oldest first."""

    now_s: float
    """Unix seconds of the server."""
    run: dict[str, str]
    """What `broker/run_record.py` notes about the run."""
    balance: Balance
    ring: list[RingGroup]
    version: int
    """Newest published policy version."""
    held: dict[str, int]
    """Actor -> policy version its engine holds."""
    beats: dict[str, tuple[float, str]]
    """Role -> (unix seconds of its last sign of life, status)."""
    health: dict[str, str]
    """Role -> what the driver holds of it."""
    stopped: str | None
    """Why the run ends; None while it goes on."""
    oldest_s: float | None
    """Seconds the oldest group has been on the rollout stream; None when there is none."""
    rooms: dict[str, list[Entry]]
    """Room -> its reports."""
    replaced: list[Entry]
    samples: list[Entry]
    ratios: list[Entry]


class Reader:
    """Reads one run; remembers how far. All of it by commands that change nothing."""

    def __init__(self, client: Client, keys: Keys, metrics_folder: Path | None = None) -> None:
        """`metrics_folder`: `RunFolder.metrics`, where it is within reach."""
        self._client, self._keys, self._folder = client, keys, metrics_folder
        self._read_until: dict[str, str] = {}
        self._ring = Ring(client, keys, capacity=1)  # only read here; the capacity bounds what `put` stores
        self._stream = RolloutStream(client, keys)
        self._board = WeightBoard(client, keys)
        self._heartbeats = Heartbeats(client, keys)
        self._health = HealthBoard(client, keys)
        self._control = Control(client, keys)

    def look(self) -> News:
        """Raises redis' errors while the server is away; the next look brings what this one would have."""
        seconds, microseconds = self._client.time()
        now_s = seconds + microseconds / 1e6
        oldest_ms = self._stream.oldest_unix_ms()
        # The streams come last: what they say of a group is never behind the counters a page shows beside it.
        return News(
            now_s=now_s,
            run=read_run(self._client, self._keys),
            balance=read_balance(self._client, self._keys),
            ring=self._ring.groups(),
            version=self._board.version(),
            held=self._board.held(),
            beats=self._heartbeats.all(),
            health=self._health.all(),
            stopped=self._control.stopped(),
            oldest_s=None if oldest_ms is None else max(0.0, now_s - oldest_ms / 1e3),
            rooms={room: self._reports(room) for room in ROOMS},
            replaced=self._fresh(self._keys.replaced),
            samples=self._fresh(self._keys.samples),
            ratios=self._fresh(self._keys.samples_ratios),
        )

    def _reports(self, room: str) -> list[Entry]:
        key = self._keys.metrics(room)
        if self._folder is None or key in self._read_until:
            return self._fresh(key)
        return self._seen(key, list(read_reports(self._folder, room, Metrics(self._client, self._keys))))

    def _fresh(self, key: str) -> list[Entry]:
        """The entries of a stream since the last look."""
        return self._seen(key, read_entries(self._client, key, self._read_until.get(key, "-")))

    def _seen(self, key: str, entries: list[Entry]) -> list[Entry]:
        if entries:
            self._read_until[key] = f"({entries[-1]['id']}"
        return entries
