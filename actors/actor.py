"""The actor: runs one engine that samples rollout groups and follows the weights (arrows 1 to 5 and 10).

    producer            samples training groups, as many as keep the engine full
    weight follower     takes over the newest weights, without ending running rollouts
    evaluation writer   samples the groups of scheduled evaluations, each under one policy version
    watch               checks that the engine lives and answers
    heartbeat           renews leases, reports counts and times

consumes    group ids of the feeds, weight announcements
waits for   the first of these tasks to end
unblocked by the `stop` flag, which ends the producer; an error in any task
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from actors.actor_broker import ActorBroker
from actors.async_tasks import cancel_all, first_to_end
from actors.engine import Engine
from actors.evaluation_writer import EvaluationWriter
from actors.leased_groups import Admission, GroupSource, LeasedGroups
from actors.producer import Producer
from actors.readable_rollout import SampleValues
from actors.rollout_writer import RolloutWriter
from actors.weight_follower import WeightFollower
from broker.records import RolloutGroup
from broker.role_clock import RoleClock
from conf.schema import RunConfig, WeightSettings

CHECK_EVERY_S = 1.0
"""Seconds between two checks of the engine."""


@dataclass(frozen=True, kw_only=True)
class ActorLoopSettings:
    """The settings that the tasks of an actor use."""

    admission: Admission
    """Admission of training groups."""
    max_in_flight: int
    """Largest number of training groups in flight."""
    evaluation_width: int
    """Evaluation groups sampled at once: a quarter of the engine's sequences."""
    weights: WeightSettings
    heartbeat_s: float

    @classmethod
    def of(cls, config: RunConfig) -> "ActorLoopSettings":
        return cls(
            admission=Admission(
                batch_groups=config.batch_groups,
                max_lag=config.learner.max_lag,
                lease_s=config.actors.lease_s,
                high_water=config.broker.rollouts_high_water,
            ),
            max_in_flight=config.actors.max_in_flight_groups,
            evaluation_width=max(1, config.actors.max_num_seqs // (4 * config.evaluation.every_samples)),
            weights=config.weights,
            heartbeat_s=config.deploy.heartbeat_s,
        )


class Actor:
    """Runs the tasks of one engine until the run stops or one of them fails."""

    def __init__(
        self,
        settings: ActorLoopSettings,
        broker: ActorBroker,
        *,
        engine: Engine,
        writer: RolloutWriter,
        readable: Callable[[RolloutGroup], SampleValues],
        training: GroupSource,
        evaluations: GroupSource | None = None,
    ) -> None:
        """`training`: the feed of a training run, or the task list of a sampling stage. `evaluations`: the feed of
        scheduled evaluations. `readable` as in `Producer`."""
        self._broker = broker
        self._engine = engine
        self._heartbeat_s = settings.heartbeat_s
        self._clock = RoleClock(broker.actor)
        training_groups = LeasedGroups(
            training, broker, engine=engine, writer=writer, admission=settings.admission, in_history=True
        )
        self._leased = [training_groups]
        self._producer = Producer(
            training_groups, broker, readable=readable, max_in_flight=settings.max_in_flight, clock=self._clock
        )
        self._follower = WeightFollower(
            engine,
            broker,
            settings.weights,
            clock=self._clock,
            in_flight_groups=lambda: training_groups.in_flight,
        )
        self._evaluation_writer: EvaluationWriter | None = None
        if evaluations is not None:
            unbounded = replace(settings.admission, max_lag=None)
            evaluation_groups = LeasedGroups(
                evaluations, broker, engine=engine, writer=writer, admission=unbounded, in_history=False
            )
            self._leased.append(evaluation_groups)
            self._evaluation_writer = EvaluationWriter(
                evaluation_groups, width=settings.evaluation_width, syncing=self._follower.syncing
            )

    async def run(self) -> None:
        """Takes over the newest weights, runs all tasks, then returns all leases. Raises the error of a failed task."""
        watching = [asyncio.create_task(self._watch_engine()), asyncio.create_task(self._send_heartbeats())]
        working = asyncio.create_task(self._work())
        try:
            await first_to_end([working, *watching])
        finally:
            await cancel_all([working, *watching])
            for groups in self._leased:
                await groups.release()

    async def _work(self) -> None:
        """Follows the weights and samples until the run stops."""
        if not await self._follower.catch_up():
            return
        self._clock.restart()
        following = asyncio.create_task(self._follower.run())
        sampling = [asyncio.create_task(self._producer.run())]
        if self._evaluation_writer is not None:
            sampling.append(asyncio.create_task(self._evaluation_writer.run()))
        try:
            await first_to_end([*sampling, following])
            # Evaluations end at once. A sync must finish: an engine interrupted in a sync cannot be updated.
            await cancel_all(sampling[1:])
            async with self._follower.syncing:
                await cancel_all([following])
        finally:  # after an error the engine is replaced, so no sync is waited for
            await cancel_all([*sampling, following])

    async def _watch_engine(self) -> None:
        """Raises an error soon after the engine has died or no longer answers."""
        while True:
            await self._engine.check()
            await asyncio.sleep(CHECK_EVERY_S)

    async def _send_heartbeats(self) -> None:
        """Sends a heartbeat, renews the leases, reports output and times, every `heartbeat_s`."""
        while True:
            in_flight = sum(groups.in_flight for groups in self._leased)
            await self._broker.call(self._broker.heartbeats.beat, self._broker.actor, f"{in_flight} groups in flight")
            for groups in self._leased:
                await groups.renew()
            written = self._producer.take_written()
            if written.groups:
                report = written.report(self._broker.actor, self._engine.version)
                await self._broker.call(self._broker.metrics.report, report)
            if self._clock.due:
                await self._broker.call(self._broker.metrics.report, self._clock.report())
            await asyncio.sleep(self._heartbeat_s)
