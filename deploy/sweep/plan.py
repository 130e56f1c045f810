"""Names, seeds and settings -> the runs of a sweep. Pure, except that it reads YAML files.

A sweep is the folder `run.root/run.name`. Its runs are folders in it, named EXPERIMENT-sSEED; on an external Redis the
name of the sweep comes first, so that two sweeps never share a key.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from broker.errors import UsageError
from conf import names
from conf.errors import ConfigError
from conf.layers import YAML_ENDINGS, read_tree, shipped
from conf.load import hardware_name, load
from conf.schema import RunConfig
from conf.sweep_file import SweepFile, read_sweep

DEFAULT_NAME = "sweep"
DEFAULT_SEEDS = (0,)
_SET_BY_SWEEP = {
    "run.seed": "give seeds=[0,1,2]",
    "run.resume": "leave it out: a sweep resumes its runs by itself",
}
"""Settings that the sweep sets for each run -> what the user must do instead."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep."""

    name: str
    experiment: str
    seed: int
    words: tuple[str, ...]
    """The arguments of `pope train`."""
    config: RunConfig
    """The settings that result from them."""


@dataclass(frozen=True)
class SweepPlan:
    """All runs of a sweep in the order of their execution: every experiment under one seed before the next seed."""

    name: str
    folder: Path
    runs: tuple[PlannedRun, ...]


def plan_sweep(words: Sequence[str]) -> SweepPlan:
    """Experiments or one sweep, by name or by the path of a .yaml, `seeds=[...]` and `key=value` -> the plan.

    Raises UsageError or ConfigError when a name is unknown, two runs would share a name, or their budgets differ.
    """
    experiments = [word for word in words if "=" not in word]
    seeds, settings = _seeds([word for word in words if "=" in word])
    title, file = _sweep_file(experiments)
    if file is not None:
        settings = [*file.settings.get(hardware_name(_hardware_words(settings)), ()), *settings]
        experiments = list(file.experiments)
    own, settings = _split(settings, ("run.name", "run.root"))
    sweep = load(None, [f"run.name={title}", *own]).run
    folder = Path(sweep.root).expanduser().resolve() / sweep.name
    pairs = file.runs if file is not None and not seeds else product(seeds or DEFAULT_SEEDS, experiments)
    runs = tuple(_planned(experiment, seed, settings, sweep.name, folder) for seed, experiment in pairs)
    _check_names(runs)
    _check_budgets(runs)
    return SweepPlan(sweep.name, folder, runs)


def _sweep_file(given: Sequence[str]) -> tuple[str, SweepFile | None]:
    """The default name of the sweep, and its file if `given` names a sweep."""
    known = shipped("sweep")
    if not given:
        raise UsageError(f"name experiments, such as hard hard_guide, or one of the sweeps {', '.join(known)}")
    if sweeps := [name for name in given if name in known]:
        if len(given) > 1:
            raise UsageError(f"{sweeps[0]} is a sweep of its own: give it alone, or name experiments instead")
        return sweeps[0], read_sweep(known[sweeps[0]])
    own = Path(given[0])
    if len(given) == 1 and own.suffix in YAML_ENDINGS and "experiments" in read_tree(own)[0]:
        return own.stem, read_sweep(own)
    return DEFAULT_NAME, None


def _seeds(words: Sequence[str]) -> tuple[tuple[int, ...], list[str]]:
    """(the seeds, empty when none are given; the other words)."""
    given = [word for word in words if word.startswith("seeds=")]
    others = [word for word in words if not word.startswith("seeds=")]
    if not given:
        return (), others
    numbers = given[-1].removeprefix("seeds=").strip("[]").replace(",", " ").split()
    if not numbers or not all(number.isdecimal() for number in numbers):
        raise UsageError(f"{given[-1][:80]} must be a list of whole numbers from 0, such as seeds=[0,1,2]")
    return tuple(int(number) for number in numbers), others


def _split(words: Sequence[str], names_of_sweep: Sequence[str]) -> tuple[list[str], list[str]]:
    """(words that set one of `names_of_sweep`, the other words). Raises UsageError for settings of `_SET_BY_SWEEP`."""
    ours: list[str] = []
    others: list[str] = []
    for word in words:
        key = word.partition("=")[0]
        if key == "experiment":
            raise UsageError(f"{word[:80]}: name the experiments without experiment=, such as pope sweep hard pope")
        name = key if key == "hardware" else _full_name(key)
        if name in _SET_BY_SWEEP:
            raise UsageError(f"{name} is set by the sweep; {_SET_BY_SWEEP[name]}")
        (ours if name in names_of_sweep else others).append(word)
    return ours, others


def _full_name(key: str) -> str:
    try:
        return names.full_name(key)
    except ConfigError as error:
        raise ConfigError(f"command line: {key[:80]}: {error}") from None


def _hardware_words(words: Sequence[str]) -> list[str]:
    return [word for word in words if word.startswith("hardware=")]


def _planned(experiment: str, seed: int, settings: Sequence[str], sweep: str, folder: Path) -> PlannedRun:
    words = [f"experiment={experiment}", *settings, f"run.root={folder}", f"run.seed={seed}"]
    config = load(None, words)
    short = f"{Path(experiment).stem}-s{seed}"
    name = short if config.broker.url is None else f"{sweep}-{short}"
    words.append(f"run.name={name}")
    return PlannedRun(name, experiment, seed, tuple(words), load(None, words))


def _check_names(runs: Sequence[PlannedRun]) -> None:
    twice = [name for name, count in Counter(run.name for run in runs).items() if count > 1]
    if twice:
        same = [f"{run.experiment} under seed {run.seed}" for run in runs if run.name == twice[0]]
        raise UsageError(f"{' and '.join(same)} would both be the run {twice[0]}: name each experiment and seed once")


def _check_budgets(runs: Sequence[PlannedRun]) -> None:
    """Raises UsageError unless all runs have the same budget and are evaluated alike, so that they compare."""
    budgets = {_budget(run.config): run for run in runs}
    if len(budgets) > 1:
        differing = "; ".join(f"{run.experiment}: {_shown(budget)}" for budget, run in budgets.items())
        raise UsageError(
            f"a sweep compares runs at equal rollouts, and these differ: {differing}. Give the settings that differ "
            "once for all, such as run.max_groups=1600"
        )
    samplings = {run.config.evaluation_sampling: run for run in runs}
    if len(samplings) > 1:
        differing = "; ".join(f"{run.experiment}: {sampling}" for sampling, run in samplings.items())
        raise UsageError(
            f"a sweep compares runs that are evaluated alike, and these are not: {differing}. Give "
            "evaluation.temperature, evaluation.max_completion_tokens or what else differs once for all"
        )


def _budget(config: RunConfig) -> tuple[tuple[str, int | None], ...]:
    return (
        ("run.max_groups", config.run.max_groups),
        ("run.max_steps", config.run.max_steps),
        ("actors.group_size", config.actors.group_size),
    )


def _shown(budget: tuple[tuple[str, int | None], ...]) -> str:
    return ", ".join(f"{name}={'null' if value is None else value}" for name, value in budget)
