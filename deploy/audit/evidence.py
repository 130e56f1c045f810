"""What an audit goes by, gathered from a run's folder and its Redis."""

from collections.abc import Iterator
from dataclasses import dataclass

from broker.connection import Client
from broker.group_locations import GroupLocations, read_group_locations
from broker.history import Line, RoleHistory, read_history
from broker.keys import Keys
from broker.metrics import Metrics
from conf.schema import RunConfig
from deploy.cluster.placement import demands
from deploy.store.metric_files import read_reports
from deploy.store.run_folder import RunFolder
from learner.manifest import candidates, read_manifest

OCCUPANCY, DEPTH = "preprocess/ring/occupancy", "preprocess/stream/depth"


@dataclass(frozen=True)
class Bounds:
    """What may not be exceeded."""

    ring_samples: int
    stream_groups: int
    """Actors claim nothing above the high water; what they hold then may still come."""
    max_lag: int | None
    """Optimizer steps; None: no bound."""


@dataclass(frozen=True)
class Look:
    """How full ring and stream were at one moment."""

    place: str
    ring_samples: int
    stream_groups: int


@dataclass(frozen=True)
class Saved:
    """A checkpoint on the disk."""

    name: str
    step: int
    sha256: str
    """Digest of its manifest, and so of all it lists."""


@dataclass(frozen=True)
class Evidence:
    """All of one run. What the histories say was true when `books` was read, a moment later."""

    bounds: Bounds
    histories: tuple[RoleHistory, ...]
    absent: tuple[str, ...]
    """Roles of the settings without a history."""
    books: GroupLocations
    looks: tuple[Look, ...]
    saved: tuple[Saved, ...]

    def lines(self, *whats: str) -> Iterator[Line]:
        """Lines of these kinds in all histories, each history from its first line on."""
        for history in self.histories:
            yield from (line for line in history.lines if not whats or line.event.what in whats)

    def here(self, *whats: str) -> Iterator[Line]:
        """Those of incarnations that worked on the keys of `books`; on a new server group ids begin anew."""
        server = self.books.server
        incarnations = {line.event.incarnation for line in self.lines("start") if line.event.server == server}
        return (line for line in self.lines(*whats) if line.event.incarnation in incarnations)

    @property
    def learner_is_known(self) -> bool:
        """Whether the learner's history is there from its first step on, without a gap."""
        learners = [h.lines for h in self.histories if h.role.startswith("learner") and h.lines]
        return any(not lines[0].event.step and not any(line.event.missed for line in lines) for lines in learners)


def gather(folder: RunFolder, config: RunConfig, client: Client, keys: Keys) -> Evidence:
    """The evidence of a live or finished run.

    Raises CheckpointError when a manifest is damaged.
    """
    histories = tuple(read_history(folder.path))
    books = read_group_locations(client, keys)  # after the histories: what they claim has happened by now
    in_flight = config.actors.num_actors * config.actors.max_in_flight_groups
    reports = [row for row in read_reports(folder.metrics, "preprocess", Metrics(client, keys)) if OCCUPANCY in row]
    manifests = [(path.name, read_manifest(path)) for _, path in sorted(candidates(folder.checkpoints))]
    written = {history.role for history in histories}
    # Rank 0 speaks for all ranks.
    roles = [d.role for d in demands(config) if not d.role.startswith("learner") or d.role == "learner-0"]
    return Evidence(
        bounds=Bounds(
            ring_samples=config.broker.ring.capacity,
            stream_groups=config.broker.rollouts_high_water + in_flight,
            max_lag=config.learner.max_lag,
        ),
        histories=histories,
        absent=tuple(role for role in roles if role not in written),
        books=books,
        looks=tuple(Look(f"metrics {row['id']}", int(row[OCCUPANCY]), int(row[DEPTH])) for row in reports),
        saved=tuple(Saved(name, manifest["step"], manifest["sha256"]) for name, manifest in manifests),
    )
