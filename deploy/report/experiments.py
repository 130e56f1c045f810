"""Groups runs into experiments with several seeds, and describes them for figures. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from broker.errors import UsageError
from conf.names import flat
from conf.plain import plain
from conf.schema import Sampling
from deploy.report.run_records import RunRecords

SEED_SETTINGS = (
    "run.name",
    "run.root",
    "run.seed",
    "run.resume",
    "model.cache_dir",
    "weights.folder",
    "broker.url",
    "deploy",
)
"""Settings in which the seeds of one experiment may differ."""
NAMED_RUNS = 4
"""Most experiments that a figure names; of more it gives the number."""
NAMED_SEEDS = 3
"""Most different sets of seeds that a figure lists."""


@dataclass(frozen=True)
class Experiment:
    """Runs of one label with different seeds."""

    label: str
    runs: tuple[RunRecords, ...]
    """At least one, ascending by seed."""

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def arms(self) -> list[str]:
        """Arms with a weight in any of its runs, in the order of the settings."""
        return list(dict.fromkeys(arm for run in self.runs for arm, w in run.config.problems.arms.items() if w))

    @property
    def parts(self) -> list[tuple[str, str]]:
        """(arm, bucket) of its groups, the hard bucket and the unguided arm first."""
        found = dict.fromkeys((group.arm, group.bucket) for run in self.runs for group in run.groups)
        return sorted(found, key=lambda part: (part[1] != "hard", part[0] != "unguided"))

    @property
    def sampling(self) -> Sampling:
        """How its evaluations were sampled; runs in which that differs are named by `differing`."""
        return self.runs[0].config.evaluation_sampling

    @property
    def about(self) -> str:
        """hard_guide: seeds 0, 1, 2; 157 to 160 steps."""
        return f"{self.label}: {seed_names(self.seeds)}; {_steps([self])}"

    @property
    def differing(self) -> list[str]:
        """Settings other than `SEED_SETTINGS` in which its runs differ: `key: value, value`."""
        settings = [flat(run.config) for run in self.runs]
        shared = [key for key in settings[0] if not key.startswith(SEED_SETTINGS)]
        keys = [key for key in shared if len({repr(each[key]) for each in settings}) > 1]
        return [f"{key}: {', '.join(str(each[key]) for each in settings)}" for key in keys]


def experiments(runs: Sequence[RunRecords]) -> list[Experiment]:
    """Groups the runs by label, in the order in which the labels first appear.

    A label is the name of the run's folder without the run's seed at its end: hard-s0 and hard-s1 are two seeds of
    hard. Raises UsageError for two runs with the same label and seed.
    """
    found: dict[str, dict[int, RunRecords]] = {}
    for run in runs:
        seeds = found.setdefault(label(run.path.resolve().name, run.seed), {})
        if run.seed in seeds:
            raise UsageError(
                f"{run.path} and {seeds[run.seed].path} are both seed {run.seed} of one experiment by their names; "
                "rename one folder, or leave one out"
            )
        seeds[run.seed] = run
    return [Experiment(name, tuple(seeds[seed] for seed in sorted(seeds))) for name, seeds in found.items()]


def label(folder: str, seed: int) -> str:
    """hard-s0, hard_0 or hard-seed0 with seed 0 -> hard. A number that is not the seed stays."""
    return plain(re.sub(rf"[-_.]+(seed|s)?{seed}$", "", folder) or folder)


def about(shown: Sequence[Experiment]) -> str:
    """The experiments of a figure in one line: names, seeds, steps."""
    if len(shown) == 1:
        return shown[0].about
    names = ", ".join(each.label for each in shown) if len(shown) <= NAMED_RUNS else f"{len(shown)} experiments"
    if len({tuple(each.seeds) for each in shown}) == 1:
        return f"{names}: {seed_names(shown[0].seeds)} each; {_steps(shown)}"
    if len(shown) <= NAMED_RUNS:
        whose = "; ".join(f"{each.label} {seed_names(each.seeds)}" for each in shown)
    else:
        whose = f"{names}: {_seed_sets(shown)}"
    return f"{whose}; {_steps(shown)}"


def _seed_sets(shown: Sequence[Experiment]) -> str:
    """4 with seeds 0, 1; 1 with seed 3. With more than `NAMED_SEEDS` sets: all seeds."""
    counts = Counter(tuple(each.seeds) for each in shown)
    if len(counts) > NAMED_SEEDS:
        return f"{seed_names(sorted({*chain(*counts)}))}, not all of each"
    return "; ".join(f"{count} with {seed_names(seeds)}" for seeds, count in counts.items())


def seed_names(seeds: Sequence[int]) -> str:
    """seeds 0, 1, 2."""
    return f"seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}"


def _steps(shown: Sequence[Experiment]) -> str:
    steps = [run.steps for each in shown for run in each.runs]
    low, high = min(steps), max(steps)
    return f"{high} steps" if low == high else f"{low} to {high} steps"
