"""`conf/sweeps/NAME.yaml`: which experiments run one after another, under which seeds.

    experiments: [hard, hard_guide]           # names, or paths of .yaml files
    seeds: [0, 1, 2]
    settings:                                 # hardware -> what it adds to all of them, as on the command line
      cpu: [run.max_groups=1600]
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conf.errors import ConfigError
from conf.load import check_hardware_names, read_tree

_KEYS = ("experiments", "seeds", "settings")


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says."""

    experiments: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: dict[str, tuple[str, ...]]
    """Name of a hardware file -> `key=value` words."""


def read_sweep(path: Path) -> SweepFile:
    """Raises `ConfigError` with one line that names the file and the key."""
    tree, _ = read_tree(path)
    if unknown := [key for key in tree if key not in _KEYS]:
        raise ConfigError(f"{path}: {str(unknown[0])[:80]!r} is unknown; a sweep holds {', '.join(_KEYS)}")
    settings = tree.get("settings") or {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: settings must be {{HARDWARE: [key=value, ...]}}")
    check_hardware_names(map(str, settings), f"{path}: settings")
    return SweepFile(
        experiments=_list(tree, "experiments", str, "names of experiments", path),
        seeds=_list(tree, "seeds", int, "whole numbers", path),
        settings={str(name): _list(settings, name, str, "key=value words", path) for name in settings},
    )


def _list(tree: dict[Any, Any], key: Any, kind: type, what: str, path: Path) -> tuple[Any, ...]:
    value = tree.get(key)
    if not isinstance(value, list) or not value or not all(type(item) is kind for item in value):
        raise ConfigError(f"{path}: {key} must be a list of {what}, not {str(value)[:80]}")
    return tuple(value)
