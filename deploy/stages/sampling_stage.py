"""A sampling stage: a plan, the engines, and the feed between them. Mining, prefix search and evaluation are stages.

consumes    groups of the stage's rollout stream
waits for   the engines
unblocked by a plan that is done, the user's signal, or an error of the supervision
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from actors.evaluation.sampling_plan import SamplingPlan
from broker.connection import Client
from broker.keys import Keys, stage_name
from broker.metrics import Control
from broker.records import Problem
from broker.weights import WeightBoard
from conf.schema import RunConfig, Sampling
from deploy.cluster.fleet import ManagedRole, separate_domains
from deploy.cluster.interrupts import Interrupts
from deploy.cluster.raylet_watch import RayletWatch
from deploy.run.supervisor import Supervisor
from deploy.stages.collector import Collector
from deploy.store.run_state import RunState

READ_BLOCK_S = 0.2
SUPERVISE_EVERY_S = 0.5
"""How often roles, leases and failures are checked."""


class SamplingStage(AbstractContextManager["SamplingStage"]):
    """One stage, from its start, or from where it was interrupted, until its plan is done."""

    def __init__(
        self,
        name: str,
        plan: SamplingPlan,
        problems: Sequence[Problem],
        *,
        config: RunConfig,
        client: Client,
        actors: Sequence[ManagedRole],
        archive: Path,
        sampling: Sampling,
        source: str,
    ) -> None:
        """`config`: that of the run, whose name is extended by `name`. `source`: name of the problem set in the
        results."""
        self._config = stage_config(config, name, plan.largest_task)
        self._board = WeightBoard(client, Keys(config.run.name))
        self._plan = plan
        self._problems = list(problems)
        self._sampling = sampling
        self._client = client
        self._actors = actors
        keys = Keys(self._config.run.name)
        self._control = Control(client, keys)
        self._collector = Collector(
            client,
            keys,
            plan,
            archive,
            source=source,
            max_attempts=config.actors.max_attempts,
            retry_s=config.deploy.dead_after_s,
        )
        self.notes: list[str] = []
        """Deaths and restarts of roles."""

    @property
    def num_rollouts(self) -> int:
        """Rollouts of the whole stage, those before a resume included."""
        return self._collector.num_rollouts

    @property
    def done(self) -> bool:
        return self._plan.num_done >= self._plan.num_problems

    def __enter__(self) -> "SamplingStage":
        """Replay the archive to the plan, which may complete it."""
        self._collector.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._collector.__exit__(*exception)

    def run(self, interrupts: Interrupts, advance: Callable[[int], None]) -> None:
        """Sample until the plan is done. `advance(n)` is called when n more problems are done.

        Raises Interrupted upon a signal, RoleFailed and NoProgress as the supervision does.
        """
        advance(self._plan.num_done)
        if not self.done:
            self._sample(interrupts, advance)

    def _sample(self, interrupts: Interrupts, advance: Callable[[int], None]) -> None:
        self._control.clear()
        for actor in self._actors:
            actor.work_on(self._work)
        state = RunState(self._config, self._client, self._problems)
        supervisor = self._supervisor(state)
        supervise_at = 0.0
        try:
            with interrupts.graceful(self._control):
                while not self.done:
                    interrupts.raise_if_requested()
                    before = self._plan.num_done
                    self._collector.step(READ_BLOCK_S)
                    advance(self._plan.num_done - before)
                    if time.monotonic() >= supervise_at:
                        supervise_at = time.monotonic() + SUPERVISE_EVERY_S
                        supervisor.tick()
                        self._collector.check_failures()
        finally:
            self._control.stop("the stage has ended")
            supervisor.wind_down()
            self.notes = state.notes

    def _work(self, handle: Any, incarnation: str) -> Any:
        return handle.sample.remote(self._config, self._sampling, self._problems, incarnation)

    def _supervisor(self, state: RunState) -> Supervisor:
        return Supervisor(
            self._config.deploy,
            separate_domains(self._actors),
            state,
            self._board,
            max_attempts=self._config.actors.max_attempts,
            batch_samples=self._config.learner.batch_samples,
            show=lambda state: None,
            require_host=RayletWatch(),
        )


def stage_config(config: RunConfig, name: str, largest_task: int) -> RunConfig:
    """The settings of the actors in a stage: the stage's keys, no bound on the lag, groups of up to `largest_task`."""
    return replace(
        config,
        run=replace(config.run, name=stage_name(config.run.name, name)),
        actors=replace(config.actors, group_size=largest_task),
        learner=replace(config.learner, max_lag=None),
    )
