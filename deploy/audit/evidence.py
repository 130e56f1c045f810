"""What an audit compares: the histories of the roles, what Redis holds, and the checkpoints of a run."""

from collections.abc import Iterator
from dataclasses import dataclass

from broker.group_locations import Whereabouts
from broker.history import Line, RoleHistory
from broker.reports import PreprocessWork
from deploy.cluster.placement import demands
from deploy.store.run_view import RunView, SavedCheckpoint


@dataclass(frozen=True)
class Bounds:
    """Limits that must not be exceeded."""

    ring_samples: int
    stream_groups: int
    """The high-water mark, above which actors claim nothing, and the groups that they may hold at that moment."""
    max_lag: int | None
    """Optimizer steps; None: no bound."""


@dataclass(frozen=True)
class Look:
    """How full ring and stream were at one moment."""

    place: str
    ring_samples: int
    stream_groups: int


@dataclass(frozen=True)
class Evidence:
    """All of one run. The histories were read before `locations`: what they say had happened by then."""

    bounds: Bounds
    histories: tuple[RoleHistory, ...]
    absent: tuple[str, ...]
    """Roles of the settings without a history."""
    locations: Whereabouts
    looks: tuple[Look, ...]
    checkpoints: tuple[SavedCheckpoint, ...]

    def lines(self, *whats: str) -> Iterator[Line]:
        """Lines of these kinds in all histories, each history from its first line on; without kinds, all lines."""
        for history in self.histories:
            yield from (line for line in history.lines if not whats or line.event.what in whats)

    def here(self, *whats: str) -> Iterator[Line]:
        """Those of incarnations that worked on this server's keys; on a new server group ids begin at 0 again."""
        server = self.locations.server
        incarnations = {line.event.incarnation for line in self.lines("start") if line.event.server == server}
        return (line for line in self.lines(*whats) if line.event.incarnation in incarnations)

    @property
    def learner_is_known(self) -> bool:
        """Whether the learner's history begins at its first step and has no gap."""
        learners = [h.lines for h in self.histories if h.role.startswith("learner") and h.lines]
        return any(not lines[0].event.step and not any(line.event.missed for line in lines) for lines in learners)


def gather(run: RunView) -> Evidence:
    """The evidence of a live or finished run.

    Raises CheckpointError when a manifest is damaged.
    """
    config, histories = run.config, run.histories()
    locations = run.locations()  # after the histories: what they say has happened by now
    in_flight = config.actors.num_actors * config.actors.max_in_flight_groups
    reports = run.reports(PreprocessWork)
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
        locations=locations,
        looks=tuple(Look(f"metrics {r.id}", r.ring_samples, r.stream_groups) for r in reports),
        checkpoints=run.checkpoints(),
    )
