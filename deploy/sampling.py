"""A stage of sampling: a plan, the engines, and the feed between them. Mining, prefix search and evaluation run here.

consumes    groups of the stage's rollout stream
waits for   the engines
unblocked by the plan that is done, the user's signal, or supervision that gives up
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from actors.sampling import SamplingPlan
from broker.connection import Client
from broker.keys import Keys
from broker.metrics import Control
from broker.records import Problem
from conf.schema import RunConfig
from deploy.collector import Collector
from deploy.fleet import Member
from deploy.interrupts import Interrupts
from deploy.state import RunState
from deploy.watch import Supervisor

READ_BLOCK_S = 0.2
LOOK_EVERY_S = 0.5
"""How often roles, leases and failures are looked at."""


class SamplingStage:
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
        advance: Callable[[int], None] = lambda n: None,
    ) -> None:
        """`name` is added to the run's; `source` goes into the results. `advance(n)`: n more problems are done."""
        self._config = stage_config(config, name, plan.largest_task)
        self._plan = plan
        self._problems = list(problems)
        self._client = client
        self._actors = actors
        self._advance = advance
        self._num_done = 0
        self._control = Control(client, Keys(self._config.run.name))
        self._collector = Collector(self._config, client, plan, archive, source)
        self.notes: list[str] = []
        """What happened to the roles."""

    @property
    def num_rollouts(self) -> int:
        """Rollouts of the whole stage, those before a resume included."""
        return self._collector.num_rollouts

    def run(self, interrupts: Interrupts) -> None:
        """Until the plan is done. Raises Interrupted when the user ends it, what supervision raises otherwise."""
        self._control.clear()
        with self._collector:
            self._show_progress()
            if not self._done:
                self._sample(interrupts)

    def _sample(self, interrupts: Interrupts) -> None:
        for actor in self._actors:
            actor.work_on(lambda handle, incarnation: handle.sample.remote(self._config, self._problems, incarnation))
        state = RunState(self._config, self._client, self._problems)
        supervisor = Supervisor(self._config, self._actors, state, lambda state: None)
        look_at = 0.0
        try:
            with interrupts.graceful(self._control):
                while not self._done:
                    interrupts.raise_if_requested()
                    self._collector.step(READ_BLOCK_S)
                    self._show_progress()
                    if time.monotonic() >= look_at:
                        look_at = time.monotonic() + LOOK_EVERY_S
                        supervisor.tick()
                        self._collector.look_for_failures()
        finally:
            self._control.stop("the stage has ended")
            supervisor.wind_down()
            self.notes = state.notes

    @property
    def _done(self) -> bool:
        return self._plan.num_done >= self._plan.num_problems

    def _show_progress(self) -> None:
        done = self._plan.num_done
        self._advance(done - self._num_done)
        self._num_done = done


def stage_config(config: RunConfig, name: str, largest_task: int) -> RunConfig:
    """The settings the actors work under: keys of the stage, no lag bound, as many groups as fill the engine."""
    return replace(
        config,
        run=replace(config.run, name=f"{config.run.name}.{name}"),
        actors=replace(config.actors, group_size=largest_task),
        learner=replace(config.learner, max_lag=None),
    )
