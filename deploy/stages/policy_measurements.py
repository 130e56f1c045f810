"""Pass@k of a run's policies on its problems, before and after training; every measurement is taken once and saved."""

import random
from collections import Counter
from collections.abc import Sequence

from rich.console import Console

from actors.evaluation.evaluation_plan import EvaluationPlan, without_solutions
from broker.records import Problem
from conf.schema import RunConfig
from deploy.stages.stage_sequence import Stages
from deploy.store.measurements import Measurement
from deploy.store.run_folder import RunFolder


def measured_problems(problems: Sequence[Problem], limit: int | None, seed: int) -> list[Problem]:
    """At most `limit` of the problems, drawn by the seed, in their order: the same ones before and after training."""
    if limit is None or limit >= len(problems):
        return list(problems)
    drawn = random.Random(f"measured/{seed}").sample(range(len(problems)), limit)
    return [problems[i] for i in sorted(drawn)]


class PolicyMeasurements:
    """Takes measurements and keeps them in the run's folder."""

    def __init__(self, config: RunConfig, folder: RunFolder, console: Console) -> None:
        """Reads what earlier incarnations of the run measured."""
        self._settings = config.evaluation
        self._sampling = config.evaluation_sampling
        self._seed = config.run.seed
        self._folder = folder
        self._console = console
        self.taken = Measurement.load(folder.measurements)

    def has(self, when: str, arm: str) -> bool:
        return arm in self.taken.results.get(when, {})

    def measure(
        self, stages: Stages, when: str, arm: str, problems: Sequence[Problem], *, step: int | None = None
    ) -> None:
        """Sample every problem, save and print pass@k as the measurement (`when`, `arm`).

        `step`: the policy version that is measured, where a run may measure several: a run that was resumed to train
        further has other weights, whose rollouts need a stage of their own.
        """
        asked = problems if arm == "guided" else without_solutions(problems)
        plan = EvaluationPlan(asked, arm, self._settings.samples, self._seed)
        name = f"{when}-{arm}" if step is None else f"{when}-{step}-{arm}"
        stages.run(f"measure {arm} {when.replace('_', ' ')}", name, plan, asked, sampling=self._sampling, source="hard")
        self.taken.results.setdefault(when, {})[arm] = plan.results()
        self.taken.save(self._folder.measurements)
        shares = self.taken.pass_at_k(when, arm, self._settings.k)
        self._console.print("    " + ", ".join(f"{k} {v:.1%}" for k, v in shares.items()), highlight=False)
        if plan.failed:
            reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(plan.failed.values()).items())
            self._console.print(f"    not measured: {reasons}", highlight=False)
