"""Reads the YAML files of settings, with the place of every setting and the files a file inherits from.

Shipped experiments, hardware files and sweeps are chosen by name, other files by path. Only this module and
`conf/load.py` import yaml and omegaconf.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conf import names
from conf.errors import ConfigError
from conf.plain import plain
from conf.redact import holds_a_secret, redacted

CONF_FOLDER = Path(__file__).parent
_FOLDERS = {"experiment": "experiments", "hardware": "hardware", "sweep": "sweeps", "model": "models"}
CHOICES = ("experiment", "hardware")
"""Files that a command line and `defaults:` choose by name or path."""
YAML_ENDINGS = (".yaml", ".yml")
COMMAND_LINE = "command line"
"""The place of a setting that is not in a file."""


@dataclass(frozen=True)
class Assignment:
    """One setting, its value, and its place (`FILE:LINE` or `command line`)."""

    name: str
    value: Any
    place: str


@dataclass(frozen=True)
class Layer:
    """One YAML file: the files it inherits from and its settings."""

    path: Path
    defaults: dict[str, str]
    assignments: list[Assignment]
    for_hardware: dict[str, list[Assignment]]
    """Name of a hardware file -> settings for that hardware only."""
    for_model: dict[str, list[Assignment]]
    """`tiny` -> settings for the built-in toy only."""

    def on(self, hardware: str, model: str = "") -> list[Assignment]:
        return [*self.assignments, *self.for_hardware.get(hardware, ()), *self.for_model.get(model, ())]


def find(kind: str, name: str, named_in: Path | None = None) -> Path:
    """A shipped file by its name, or any file by its path, relative to the file that names it.

    Raises `ConfigError` for an unknown name.
    """
    if name.endswith(YAML_ENDINGS):
        return named_in.parent / name if named_in is not None else Path(name)
    known = shipped(kind)
    if name not in known:
        hint = names.did_you_mean(name, known)
        valid = ", ".join(known)
        place = shown_path(named_in) if named_in is not None else COMMAND_LINE
        raise ConfigError(f"{place}: {kind}={display(name)} is neither one of {valid} nor the path of a .yaml{hint}")
    return known[name]


def shipped(kind: str) -> dict[str, Path]:
    """Name -> path of the shipped experiments, hardware files or sweeps."""
    return {path.stem: path for path in sorted((CONF_FOLDER / _FOLDERS[kind]).glob("*.yaml"))}


def check_names(kind: str, found: Iterable[str], place: str) -> None:
    """Raises `ConfigError` for a name without a shipped file of this kind: its settings would never apply."""
    known = shipped(kind)
    for name in found:
        if name not in known:
            hint = names.did_you_mean(name, known)
            valid = ", ".join(known)
            raise ConfigError(f"{place}: {display(name)} is not a {kind} file; the names are {valid}{hint}")


def read_with_parents(path: Path) -> list[Layer]:
    """The layers of an experiment, the topmost parent first."""
    layers: list[Layer] = []
    seen: set[Path] = set()
    child: Path | None = path
    while child is not None:
        if child.resolve() in seen:
            raise ConfigError(
                f"{shown_path(child)}: an experiment cannot inherit from itself; set another defaults.experiment"
            )
        seen.add(child.resolve())
        layer = read_file(child)
        layers.insert(0, layer)
        parent = layer.defaults.get("experiment")
        child = find("experiment", parent, child) if parent is not None else None
    return layers


def read_file(path: Path) -> Layer:
    """Reads one YAML file of settings."""
    shown = shown_path(path)
    tree, lines = read_tree(path)
    defaults = _defaults(tree.pop("defaults", None), shown)
    for_hardware = _for("hardware", tree.pop("for_hardware", None), shown)
    for_model = _for("model", tree.pop("for_model", None), shown)
    return Layer(path, defaults, list(_flatten(tree, (), shown, lines)), for_hardware, for_model)


def read_tree(path: Path) -> tuple[dict[Any, Any], dict[tuple[str, ...], int]]:
    """The mapping in a YAML file, and the line of each of its keys. Raises `ConfigError`.

    omegaconf parses the file; the node tree of PyYAML gives the line numbers.
    """
    shown = shown_path(path)
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is None:
            return {}, {}
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError(f"{shown}: must hold `section: {{setting: value}}`")
        tree = cast(dict[Any, Any], OmegaConf.to_container(OmegaConf.create(text)))
    except FileNotFoundError:
        hint = names.did_you_mean(path.name, (p.name for p in path.parent.glob("*.yaml")))
        raise ConfigError(f"{shown}: no such file{hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown}: cannot be read: {error}") from None
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{shown}{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"{shown}: not valid YAML: {reason}") from None
    return tree, dict(_lines(root, ()))


def _lines(node: yaml.Node, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
    """(path of keys, line) of every key. Only sections are traversed, so YAML aliases cannot multiply the work."""
    if isinstance(node, yaml.MappingNode) and ".".join(path) in ("", *names.SECTIONS):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield (*path, key.value), key.start_mark.line + 1
                yield from _lines(value, (*path, key.value))


def _defaults(value: object, shown: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(k in CHOICES and isinstance(v, str) for k, v in value.items()):
        raise ConfigError(f"{shown}: defaults={display(value)} must be {{experiment: NAME, hardware: NAME}}")
    return value


def _for(kind: str, value: object, shown: str) -> dict[str, list[Assignment]]:
    """The settings under `for_hardware` or `for_model`, by name."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(settings, dict) for settings in value.values()):
        raise ConfigError(f"{shown}: for_{kind}={display(value)} must be {{NAME: {{section: {{setting: value}}}}}}")
    check_names(kind, map(str, value), f"{shown}: for_{kind}")
    return {str(name): list(_flatten(settings, (), shown, {})) for name, settings in value.items()}


def _flatten(
    tree: dict[Any, Any], path: tuple[str, ...], shown: str, lines: dict[tuple[str, ...], int]
) -> Iterator[Assignment]:
    for key, value in tree.items():
        here = (*path, str(key))
        name = ".".join(here)
        place = f"{shown}:{lines[here]}" if here in lines else shown
        if "." in str(key):
            raise ConfigError(
                f"{place}: the key {display(key)} contains a dot; write section and setting as two levels"
            )
        if name in names.SETTINGS:
            yield Assignment(name, value, place)
        elif name not in names.SECTIONS:
            raise ConfigError(f"{place}: {display(name)}={display(value, name)}: {names.unknown(name)}")
        elif isinstance(value, dict):
            yield from _flatten(value, here, shown, lines)
        elif value is not None:  # a section with every line commented out
            raise ConfigError(f"{place}: {display(name)}={display(value, name)}: {names.unknown(name)}")


def shown_path(path: Path) -> str:
    """The path relative to the working directory, if it is inside."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def display(value: object, name: str = "") -> str:
    """A value for an error message: cut to 80 characters, without a password; `***` if its name denotes a secret."""
    if holds_a_secret(name):
        return "***"
    text = plain(redacted(str(value)) or "''")
    return text if len(text) <= 80 else f"{text[:77]}..."
