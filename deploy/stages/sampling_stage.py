"""A stage of sampling: a plan, the engines, and the feed between them. Mining, prefix search and evaluation run here.

consumes    groups of the stage's rollout stream
waits for   the engines
unblocked by the plan that is done, the user's signal, or supervision that gives up
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from actors.evaluation.sampling_plan import SamplingPlan
from broker.connection import Client
from broker.keys import Keys, stage_name
from broker.metrics import Control
from broker.records import Problem
from broker.weights import WeightBoard
from conf.schema import RunConfig
from deploy.cluster.fleet import Member, alone
from deploy.cluster.interrupts import Interrupts
from deploy.run.supervisor import Supervisor
from deploy.stages.collector import Collector
from deploy.store.run_state import RunState

READ_BLOCK_S = 0.2
LOOK_EVERY_S = 0.5
"""How often roles, leases and failures are looked at."""


class SamplingStage(AbstractContextManager["SamplingStage"]):
    """One stage, from an empty list of tasks, or from where it stood, to a plan that is done."""

    def __init__(
        self,
        name: str,
        plan: SamplingPlan,
        problems: Sequence[Problem],
        *,
        config: RunConfig,
        client: Client,
        actors: Sequence[Member],
        archive: Path,
        source: str,
    ) -> None:
        """`name` is added to the run's; `source` goes into the results."""
        self._config = stage_config(config, name, plan.largest_task)
        self._board = WeightBoard(client, Keys(config.run.name))
        self._plan = plan
        self._problems = list(problems)
        self._client = client
        self._actors = actors
        self._control = Control(client, Keys(self._config.run.name))
        self._collector = Collector(self._config, client, plan, archive, source)
        self.notes: list[str] = []
        """What happened to the roles."""

    @property
    def num_rollouts(self) -> int:
        """Rollouts of the whole stage, those before a resume included."""
        return self._collector.num_rollouts

    @property
    def done(self) -> bool:
        return self._plan.num_done >= self._plan.num_problems

    def __enter__(self) -> "SamplingStage":
        """Tell the plan what the archive holds; it may be all there is to know."""
        self._collector.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._collector.__exit__(*exception)

    def run(self, interrupts: Interrupts, advance: Callable[[int], None]) -> None:
        """Sample until the plan is done; `advance(n)`: n more problems are.

        Raises Interrupted when the user ends it, and what supervision raises.
        """
        advance(self._plan.num_done)
        if not self.done:
            self._sample(interrupts, advance)

    def _sample(self, interrupts: Interrupts, advance: Callable[[int], None]) -> None:
        self._control.clear()
        for actor in self._actors:
            actor.work_on(lambda handle, incarnation: handle.sample.remote(self._config, self._problems, incarnation))
        state = RunState(self._config, self._client, self._problems)
        supervisor = Supervisor(self._config, alone(self._actors), state, self._board, lambda state: None)
        look_at = 0.0
        try:
            with interrupts.graceful(self._control):
                while not self.done:
                    interrupts.raise_if_requested()
                    before = self._plan.num_done
                    self._collector.step(READ_BLOCK_S)
                    advance(self._plan.num_done - before)
                    if time.monotonic() >= look_at:
                        look_at = time.monotonic() + LOOK_EVERY_S
                        supervisor.tick()
                        self._collector.look_for_failures()
        finally:
            self._control.stop("the stage has ended")
            supervisor.wind_down()
            self.notes = state.notes


def stage_config(config: RunConfig, name: str, largest_task: int) -> RunConfig:
    """The settings the actors work under: keys of the stage, no lag bound, as many groups as fill the engine."""
    return replace(
        config,
        run=replace(config.run, name=stage_name(config.run.name, name)),
        actors=replace(config.actors, group_size=largest_task),
        learner=replace(config.learner, max_lag=None),
    )
