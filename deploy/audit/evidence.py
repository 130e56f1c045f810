"""What an audit checks, read from a run's folder and its Redis."""

from collections.abc import Iterator
from dataclasses import dataclass

from actors.problems.guidance_lengths import GuidanceLengths
from actors.problems.mixture import weighted_round_robin
from actors.problems.training_assignment import guidance_lengths
from broker.assignments import Choice
from broker.group_locations import GroupLocations
from broker.history import Line, RoleHistory
from broker.reports import PreprocessWork
from deploy.cluster.placement import demands
from deploy.store.run_view import RunView, SavedCheckpoint


@dataclass(frozen=True)
class Bounds:
    """Limits that follow from the settings."""

    ring_samples: int
    stream_groups: int
    """Actors claim no group above the high-water mark, but those they hold by then may still be published."""
    max_lag: int | None
    """Optimizer steps; None: no bound."""
    actor_groups: int = 1
    """Groups that one actor has in flight; when it dies, so many operations may have no line."""
    forced_lag: int = 0
    """Optimizer steps by which versions are announced late."""


@dataclass(frozen=True)
class Occupancy:
    """How full ring and rollout stream were, by one report of a preprocessor."""

    place: str
    ring_samples: int
    stream_groups: int


@dataclass(frozen=True)
class Evidence:
    """Everything about one run. Redis was read after the histories, so it includes what they record."""

    bounds: Bounds
    histories: tuple[RoleHistory, ...]
    absent: tuple[str, ...]
    """Roles that should have a history, but have none."""
    locations: GroupLocations
    occupancy: tuple[Occupancy, ...]
    checkpoints: tuple[SavedCheckpoint, ...]
    arm_cycle: tuple[str, ...]
    """The arms of the group ids 0, 1, ..., which repeat after that."""
    choices: tuple[Choice, ...] | None
    """Group id -> what was recorded for it; None: it is a function of the seed, and not recorded."""
    before: GroupLocations
    """As `locations`, but read before the histories, so that they record what it counts."""
    lengths: GuidanceLengths | None = None
    """The rule of `guidance.length`, without any group yet; None: guidance does not change during training."""

    def lines(self, *whats: str) -> Iterator[Line]:
        """Lines of these kinds (all kinds when none is given), history by history, each oldest first."""
        for history in self.histories:
            yield from (line for line in history.lines if not whats or line.event.what in whats)

    def on_this_server(self, *whats: str) -> Iterator[Line]:
        """As `lines`, of incarnations that used the present Redis. Group ids start from 0 on a new server."""
        server = self.locations.server
        incarnations = {line.event.incarnation for line in self.lines("start") if line.event.server == server}
        return (line for line in self.lines(*whats) if line.event.incarnation in incarnations)

    @property
    def has_whole_learner(self) -> bool:
        """Whether a learner's history starts at step 0 and has no gap."""
        learners = [h.lines for h in self.histories if h.role.startswith("learner") and h.lines]
        return any(not lines[0].event.step and not any(line.event.missed for line in lines) for lines in learners)


def gather(run: RunView) -> Evidence:
    """Reads the evidence of a live or finished run. Raises CheckpointError when a manifest is damaged."""
    config, before, histories = run.config, run.locations(), run.histories()
    locations = run.locations()  # after the histories, so that it includes what they record
    actor_groups = config.actors.max_in_flight_groups
    reports = run.reports(PreprocessWork)
    written = {history.role for history in histories}
    # Rank 0 writes the history of all ranks.
    roles = [d.role for d in demands(config) if not d.role.startswith("learner") or d.role == "learner-0"]
    return Evidence(
        bounds=Bounds(
            ring_samples=config.broker.ring.capacity,
            stream_groups=config.broker.rollouts_high_water + config.actors.num_actors * actor_groups,
            max_lag=config.learner.max_lag,
            actor_groups=actor_groups,
            forced_lag=config.learner.forced_lag or 0,
        ),
        histories=histories,
        absent=tuple(role for role in roles if role not in written),
        locations=locations,
        occupancy=tuple(Occupancy(f"metrics {r.id}", r.ring_samples, r.stream_groups) for r in reports),
        checkpoints=run.checkpoints(),
        arm_cycle=weighted_round_robin(config.problems.arms),
        choices=run.choices() if config.records_assignments else None,
        before=before,
        lengths=guidance_lengths(config, run.folder.load_problems()) if run.folder.problems.exists() else None,
    )
