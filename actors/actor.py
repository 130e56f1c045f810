"""The actor: runs one engine that samples rollout groups and follows the weights (arrows 1 to 5 and 10).

    producer            samples training groups, as many as keep the engine full
    weight follower     takes over the newest weights, without ending running rollouts
    evaluation writer   samples the groups of scheduled evaluations, each under one policy version
    heartbeat           checks the engine, renews leases, reports counts

consumes    group ids of the feeds, weight announcements
waits for   the first of these tasks to end
unblocked by the `stop` flag, which ends the producer; an error in any task
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from actors.actor_broker import ActorBroker
from actors.engine import Engine
from actors.evaluation_writer import EvaluationWriter
from actors.leased_groups import Admission, GroupSource, LeasedGroups
from actors.producer import Producer, cancel_all
from actors.rollout_writer import RolloutWriter
from actors.weight_follower import WeightFollower
from conf.schema import RunConfig, WeightSettings


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
        decode: Callable[[list[int]], str],
        training: GroupSource,
        evaluations: GroupSource | None = None,
    ) -> None:
        """`training`: the feed of a training run, or the task list of a sampling stage. `evaluations`: the feed of
        scheduled evaluations."""
        self._broker = broker
        self._engine = engine
        self._heartbeat_s = settings.heartbeat_s
        training_groups = LeasedGroups(
            training, broker, engine=engine, writer=writer, admission=settings.admission, in_history=True
        )
        self._leased = [training_groups]
        self._producer = Producer(training_groups, broker, decode=decode, max_in_flight=settings.max_in_flight)
        self._follower = WeightFollower(
            engine, broker, settings.weights, in_flight_groups=lambda: training_groups.in_flight
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
        await self._follower.catch_up()
        background = [asyncio.create_task(self._follower.run()), asyncio.create_task(self._send_heartbeats())]
        evaluating: list[asyncio.Task[None]] = []
        if self._evaluation_writer is not None:
            evaluating.append(asyncio.create_task(self._evaluation_writer.run()))
        producing = asyncio.create_task(self._producer.run())
        try:
            done, _ = await asyncio.wait([producing, *background, *evaluating], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # Evaluations are cancelled at once. A sync must finish: an engine interrupted in a sync cannot be updated.
            await cancel_all(evaluating)
            async with self._follower.syncing:
                await cancel_all([producing, *background])
            for groups in self._leased:
                await groups.release()

    async def _send_heartbeats(self) -> None:
        """Checks the engine, sends a heartbeat, renews the leases and reports the output, every `heartbeat_s`."""
        while True:
            await self._engine.check()
            in_flight = sum(groups.in_flight for groups in self._leased)
            await self._broker.call(self._broker.heartbeats.beat, self._broker.actor, f"{in_flight} groups in flight")
            for groups in self._leased:
                await groups.renew()
            written = self._producer.take_written()
            if written.groups:
                report = written.report(self._broker.actor, self._engine.version)
                await self._broker.call(self._broker.metrics.report, report)
            await asyncio.sleep(self._heartbeat_s)
