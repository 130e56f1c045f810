"""Evaluations on a schedule while a run trains: requested here, sampled by the actors with their own groups."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from actors.evaluation.evaluation_plan import ScheduledEvaluation, without_solutions
from actors.evaluation.results import Result
from broker.connection import Client
from broker.keys import EVALUATION_STAGE, Keys, stage_name
from broker.records import Problem
from conf.schema import RunConfig
from deploy.stages.collector import Collector
from deploy.store.measurements import read_evaluations
from deploy.store.run_folder import RunFolder


class Evaluations(AbstractContextManager["Evaluations"]):
    """Call `follow(step)` regularly; the results so far are in `evaluations.json`. Does nothing without a schedule.
    """

    def __init__(self, config: RunConfig, client: Client, problems: Sequence[Problem], folder: RunFolder) -> None:
        settings = config.evaluation
        self._every = settings.every_steps
        self._folder = folder
        self._written: dict[int, list[Result]] = {}
        self._plan = ScheduledEvaluation(without_solutions(problems), settings.every_samples, config.run.seed)
        self._collector = Collector(
            client,
            Keys(stage_name(config.run.name, EVALUATION_STAGE)),
            self._plan,
            folder.sampling / EVALUATION_STAGE,
            source="hard",
            max_attempts=config.actors.max_attempts,
            retry_s=config.deploy.dead_after_s,
        )

    def __enter__(self) -> "Evaluations":
        # A resumed run requests the same steps again: the same tasks, whose archived results are replayed.
        if self._every:
            for step in read_evaluations(self._folder.evaluations):
                self._plan.schedule(step)
            self._collector.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if not self._every:
            return
        try:
            if exception[0] is None:  # collect the groups since the last call
                self._collector.step(0.0)
                self._save()
        finally:
            self._collector.__exit__(*exception)

    def follow(self, step: int) -> None:
        """Request an evaluation if one is due, and collect the results that have come in. Does not block."""
        if not self._every:
            return
        if due := step // self._every * self._every:
            self._plan.schedule(due)
        if self._plan.results() != self._written:
            self._save()  # before the tasks are issued: a run that dies now requests the same steps again
        self._collector.step(0.0)
        self._collector.check_failures()

    def _save(self) -> None:
        self._written = self._plan.results()
        self._folder.save_json(self._folder.evaluations, self._written)
