"""YAML files and `key=value` overrides -> one frozen `RunConfig`. The one door to omegaconf.

A run is composed in this order; what comes later wins, setting by setting:

    base.yaml  <-  hardware/NAME.yaml  <-  experiments/NAME.yaml (its parents first)  <-  key=value ...

An experiment names its parent and its hardware under `defaults: {experiment: NAME, hardware: NAME}`;
`experiment=NAME` and `hardware=NAME` on the command line choose them too, by name or by the path of a file. A setting
always replaces the whole value: `problems.arms: {guided: 1}` leaves no other arm. What an experiment sets on one
hardware only stands under `for_hardware: {NAME: {section: {setting: value}}}`. Settings are plain values; `${...}` is
refused, so that no file can read the environment.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conf import names
from conf.checks import check
from conf.errors import ConfigError
from conf.plain import plain
from conf.redact import holds_a_secret, is_redacted, redacted
from conf.schema import RunConfig

CONF_FOLDER = Path(__file__).parent
_FOLDERS = {"experiment": "experiments", "hardware": "hardware", "sweep": "sweeps"}
_CHOICES = ("experiment", "hardware")
"""What a command line and `defaults:` choose by name."""
_COMMAND_LINE = "command line"

_NOT_PART_OF_A_RUN = (
    "run.name", "run.root", "run.resume", "run.max_steps", "run.max_groups", "broker.url", "broker.role_users",
    "deploy.dashboard", "deploy.dashboard_host", "deploy.dashboard_port",
)  # fmt: skip
"""Settings that may differ between a run and its continuation."""


@dataclass(frozen=True)
class _Assignment:
    """One setting, its value, and where it was set (`FILE:LINE` or `command line`)."""

    name: str
    value: Any
    place: str


@dataclass(frozen=True)
class _Layer:
    """One YAML file: the files it builds on and the settings it makes."""

    path: Path
    defaults: dict[str, str]
    assignments: list[_Assignment]
    for_hardware: dict[str, list[_Assignment]]
    """Name of a hardware file -> settings it makes only there."""

    def on(self, hardware: str) -> list[_Assignment]:
        return [*self.assignments, *self.for_hardware.get(hardware, ())]


def load(experiment: Path | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """The settings of a run, complete and checked. Raises `ConfigError` with one line that names the place."""
    chosen, assigned = _read_overrides(overrides)
    if experiment is not None and "experiment" in chosen:
        raise ConfigError(f"experiment={chosen['experiment']} contradicts the file {experiment}; give one of them")
    if experiment is None and "experiment" in chosen:
        experiment = _find("experiment", chosen["experiment"])
    base, *layers = _layers(experiment)
    hardware = _read_file(_hardware(chosen, [base, *layers]))
    assignments = [a for layer in (base, hardware, *layers) for a in layer.on(hardware.path.stem)] + assigned
    config = _build(assignments)
    try:
        check(config)
    except ConfigError as error:
        # The setting made last is the one that broke the rule.
        place = next((a.place for a in reversed(assignments) if _is_about(a.name, error.keys)), _COMMAND_LINE)
        raise ConfigError(f"{place}: {error}", error.keys) from None
    return config


def hardware_name(overrides: Sequence[str]) -> str:
    """Name of the hardware file that `load` takes for these overrides."""
    chosen, _ = _read_overrides(overrides)
    experiment = _find("experiment", chosen["experiment"]) if "experiment" in chosen else None
    return _hardware(chosen, _layers(experiment)).stem


def dump(config: RunConfig) -> str:
    """The settings as YAML that `load` reads back; the password of `broker.url` is left out."""
    shown = replace(config, broker=replace(config.broker, url=redacted(config.broker.url)))
    return OmegaConf.to_yaml(OmegaConf.structured(shown))


def settings_hash(config: RunConfig) -> str:
    """SHA-256 of all settings that make a run what it is: equal for a run and its continuation."""
    values = asdict(config)
    for name in _NOT_PART_OF_A_RUN:
        section, _, key = name.partition(".")
        del values[section][key]
    del values["oracle"]  # it makes problems, not runs
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _is_about(name: str, keys: tuple[str, ...]) -> bool:
    return any(name == key or name.startswith(f"{key}.") for key in keys)


# Reading ------------------------------------------------------------------------------------------------------------


def _read_overrides(overrides: Sequence[str]) -> tuple[dict[str, str], list[_Assignment]]:
    """`key=value` words -> (chosen experiment and hardware, settings)."""
    chosen, assigned = {}, []
    for word in overrides:
        name, equals, text = word.partition("=")
        if not equals or not name or not text:
            raise ConfigError(f"{_COMMAND_LINE}: {_said(word)} is not key=value; write null for no value")
        if name in _CHOICES:
            chosen[name] = text
        else:
            assigned.append(_read_override(name, text))
    return chosen, assigned


def _read_override(name: str, text: str) -> _Assignment:
    try:
        name = names.full_name(name)
    except ConfigError as error:
        raise ConfigError(f"{_COMMAND_LINE}: {_said(name)}={_said(text, name)}: {error}") from None
    if name == "broker.url" and redacted(text) != text and not is_redacted(text):
        raise ConfigError(
            f"{_COMMAND_LINE}: {name}={_said(text)}: everybody on this machine reads a command line, and Ray keeps it; "
            "put the whole URL into $POPE_BROKER_URL and leave the password out here"
        )
    annotation = names.annotation_of(name)
    if names.is_text(annotation):  # as it stands: run.name=007 is not the number 7
        optional = annotation == str | None
        return _Assignment(name, None if optional and text == "null" else text, _COMMAND_LINE)
    try:
        parsed = OmegaConf.from_dotlist([f"value={text}"])
        value = OmegaConf.to_container(parsed)["value"]  # type: ignore[index, call-overload]
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError):
        raise ConfigError(f"{_COMMAND_LINE}: {name}={_said(text)} is not a YAML value") from None
    return _Assignment(name, value, _COMMAND_LINE)


def _find(kind: str, name: str, named_in: Path | None = None) -> Path:
    """A shipped file by its name, or any file by its path, seen from the file that names it."""
    if name.endswith((".yaml", ".yml")):
        return named_in.parent / name if named_in is not None else Path(name)
    known = shipped(kind)
    if name not in known:
        hint = names.did_you_mean(name, known)
        valid = ", ".join(known)
        place = _shown(named_in) if named_in is not None else _COMMAND_LINE
        raise ConfigError(f"{place}: {kind}={_said(name)} is neither one of {valid} nor the path of a .yaml{hint}")
    return known[name]


def shipped(kind: str) -> dict[str, Path]:
    """Name -> file, of the experiments, the hardware or the sweeps that ship."""
    return {path.stem: path for path in sorted((CONF_FOLDER / _FOLDERS[kind]).glob("*.yaml"))}


def check_hardware_names(said: Iterable[str], place: str) -> None:
    """Raises `ConfigError` for a name under which no hardware file ships: its settings would never count."""
    known = shipped("hardware")
    for name in said:
        if name not in known:
            hint = names.did_you_mean(name, known)
            raise ConfigError(f"{place}: {_said(name)} is no hardware; there are {', '.join(known)}{hint}")


def _layers(experiment: Path | None) -> list[_Layer]:
    """base.yaml and the layers of an experiment."""
    return [_read_file(CONF_FOLDER / "base.yaml"), *(_read_with_parents(experiment) if experiment else [])]


def _read_with_parents(path: Path) -> list[_Layer]:
    """The layers of an experiment, the oldest parent first."""
    layers: list[_Layer] = []
    seen: set[Path] = set()
    child: Path | None = path
    while child is not None:
        if child.resolve() in seen:
            raise ConfigError(f"{_shown(child)}: an experiment cannot build on itself; change defaults.experiment")
        seen.add(child.resolve())
        layer = _read_file(child)
        layers.insert(0, layer)
        parent = layer.defaults.get("experiment")
        child = _find("experiment", parent, child) if parent is not None else None
    return layers


def _hardware(chosen: dict[str, str], layers: Sequence[_Layer]) -> Path:
    """The hardware file the command line names, else the experiment, else its parents, else base.yaml."""
    if "hardware" in chosen:
        return _find("hardware", chosen["hardware"])
    layer = next(layer for layer in reversed(layers) if "hardware" in layer.defaults)
    return _find("hardware", layer.defaults["hardware"], layer.path)


def _read_file(path: Path) -> _Layer:
    """One YAML file of settings."""
    shown = _shown(path)
    tree, lines = read_tree(path)
    defaults = _defaults(tree.pop("defaults", None), shown)
    apart = _for_hardware(tree.pop("for_hardware", None), shown)
    return _Layer(path, defaults, list(_flatten(tree, (), shown, lines)), apart)


def read_tree(path: Path) -> tuple[dict[Any, Any], dict[tuple[str, ...], int]]:
    """The mapping a YAML file holds, and the line of each of its keys. Raises `ConfigError`.

    Parsed with omegaconf, and with PyYAML's node tree for the line numbers.
    """
    shown = _shown(path)
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
    """(path of keys, line) of every key; a path ends where the settings end, so aliases cannot blow it up."""
    if isinstance(node, yaml.MappingNode) and ".".join(path) in ("", *names.SECTIONS):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield (*path, key.value), key.start_mark.line + 1
                yield from _lines(value, (*path, key.value))


def _defaults(value: object, shown: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(k in _CHOICES and isinstance(v, str) for k, v in value.items()):
        raise ConfigError(f"{shown}: defaults={_said(value)} must be {{experiment: NAME, hardware: NAME}}")
    return value


def _for_hardware(value: object, shown: str) -> dict[str, list[_Assignment]]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(settings, dict) for settings in value.values()):
        raise ConfigError(f"{shown}: for_hardware={_said(value)} must be {{NAME: {{section: {{setting: value}}}}}}")
    check_hardware_names(map(str, value), f"{shown}: for_hardware")
    return {str(name): list(_flatten(settings, (), shown, {})) for name, settings in value.items()}


def _flatten(
    tree: dict[Any, Any], path: tuple[str, ...], shown: str, lines: dict[tuple[str, ...], int]
) -> Iterator[_Assignment]:
    for key, value in tree.items():
        here = (*path, str(key))
        name = ".".join(here)
        place = f"{shown}:{lines[here]}" if here in lines else shown
        if "." in str(key):
            raise ConfigError(f"{place}: the key {_said(key)} holds a dot; write section and setting as two levels")
        if name in names.SETTINGS:
            yield _Assignment(name, value, place)
        elif name not in names.SECTIONS:
            raise ConfigError(f"{place}: {_said(name)}={_said(value, name)}: {names.unknown(name)}")
        elif isinstance(value, dict):
            yield from _flatten(value, here, shown, lines)
        elif value is not None:  # a section with every line commented out
            raise ConfigError(f"{place}: {_said(name)}={_said(value, name)}: {names.unknown(name)}")


def _shown(path: Path) -> str:
    """The path as the user would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


# Building -----------------------------------------------------------------------------------------------------------


def _build(assignments: Sequence[_Assignment]) -> RunConfig:
    config = OmegaConf.structured(RunConfig)
    for section in names.SECTIONS:  # frozen dataclasses make read-only nodes
        OmegaConf.set_readonly(OmegaConf.select(config, section), False)
    OmegaConf.set_readonly(config, False)
    for assignment in assignments:
        _assign(config, assignment)
    return cast(RunConfig, OmegaConf.to_object(config))


def _assign(config: DictConfig, assignment: _Assignment) -> None:
    name, value = assignment.name, assignment.value
    if _interpolates(value):
        raise ConfigError(
            f"{assignment.place}: {name}={_said(value)} is no plain value; ${{...}} and ??? are not supported"
        )
    annotation = names.annotation_of(name)
    # omegaconf would take 2 for true and 7 for "7".
    loose = (annotation is bool and not isinstance(value, bool)) or (
        names.is_text(annotation) and not isinstance(value, str | None)
    )
    try:
        if loose:
            raise ValueError
        OmegaConf.update(config, name, value, merge=False)
    except (OmegaConfBaseException, ValueError, OverflowError, TypeError):
        choices = names.expected(annotation)
        hint = names.did_you_mean(value, map(str, names.choices(annotation)))
        quotes = " (in quotes)" if loose and names.is_text(annotation) else ""
        raise ConfigError(f"{assignment.place}: {name}={_said(value)} must be {choices}{quotes}{hint}") from None


def _said(value: object, name: str = "") -> str:
    """A value as an error message shows it: short, without a password, and not at all when its name says secret."""
    if holds_a_secret(name):
        return "***"
    text = plain(redacted(str(value)) or "''")
    return text if len(text) <= 80 else f"{text[:77]}..."


def _interpolates(value: object) -> bool:
    match value:
        case str():
            return "${" in value or value == "???"
        case dict():
            return any(_interpolates(item) for pair in value.items() for item in pair)
        case list():
            return any(map(_interpolates, value))
    return False
