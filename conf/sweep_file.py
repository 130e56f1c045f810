"""Sweep files, `conf/sweeps/NAME.yaml`: experiments and seeds that run one after another.

    experiments: [hard, hard_guide]           # names, or paths of .yaml files
    seeds: [0, 1, 2]
    more_seeds: {hard_guide: [3, 4]}          # additional seeds of some experiments
    settings:                                 # hardware -> overrides for all experiments
      cpu: [run.max_groups=1600]
"""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from conf.errors import ConfigError
from conf.layers import check_names, read_tree

_KEYS = ("experiments", "seeds", "more_seeds", "settings")


@dataclass(frozen=True)
class SweepFile:
    """The contents of a sweep file."""

    experiments: tuple[str, ...]
    seeds: tuple[int, ...]
    more_seeds: dict[str, tuple[int, ...]]
    """Experiment -> seeds in addition to `seeds`."""
    settings: dict[str, tuple[str, ...]]
    """Name of a hardware file -> `key=value` overrides."""

    @property
    def runs(self) -> list[tuple[int, str]]:
        """(seed, experiment), every experiment under one seed before the next seed."""
        seeds = dict.fromkeys([*self.seeds, *chain.from_iterable(self.more_seeds.values())])
        return [
            (seed, experiment)
            for seed in seeds
            for experiment in self.experiments
            if seed in self.seeds or seed in self.more_seeds.get(experiment, ())
        ]


def read_sweep(path: Path) -> SweepFile:
    """Reads a sweep file. Raises `ConfigError` with one line that names the file and the key."""
    tree, _ = read_tree(path)
    if unknown := [key for key in tree if key not in _KEYS]:
        raise ConfigError(f"{path}: {str(unknown[0])[:80]!r} is unknown; the keys of a sweep are {', '.join(_KEYS)}")
    settings = tree.get("settings") or {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: settings must be {{HARDWARE: [key=value, ...]}}")
    check_names("hardware", map(str, settings), f"{path}: settings")
    experiments = _list(tree, "experiments", str, "names of experiments", path)
    more = tree.get("more_seeds") or {}
    if not isinstance(more, dict) or not set(more) <= set(experiments):
        raise ConfigError(f"{path}: more_seeds must be {{EXPERIMENT: [SEED, ...]}} with names of its experiments")
    return SweepFile(
        experiments=experiments,
        seeds=_list(tree, "seeds", int, "whole numbers", path),
        more_seeds={name: _list(more, name, int, "whole numbers", path) for name in more},
        settings={str(name): _list(settings, name, str, "key=value words", path) for name in settings},
    )


def _list(tree: dict[Any, Any], key: Any, kind: type, what: str, path: Path) -> tuple[Any, ...]:
    value = tree.get(key)
    if not isinstance(value, list) or not value or not all(type(item) is kind for item in value):
        raise ConfigError(f"{path}: {key} must be a list of {what}, not {str(value)[:80]}")
    return tuple(value)
