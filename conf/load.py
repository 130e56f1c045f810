"""YAML files and `key=value` overrides -> one frozen `RunConfig`.

The settings of a run are composed in this order; later values win, setting by setting:

    base.yaml  <-  defaults of the model  <-  hardware/NAME.yaml  <-  experiments/NAME.yaml (its parents first)
               <-  key=value ...

The defaults of the model are models/tiny.yaml for the built-in toy, and those of its size and of the device for any
other (`conf/model_defaults.py`). Where nobody names a hardware file, a model that is not the toy runs on the GPUs of
this machine, if it has two or more.

An experiment names its parent and its hardware under `defaults: {experiment: NAME, hardware: NAME}`;
`experiment=NAME` and `hardware=NAME` on the command line override these, by name or by the path of a file. A setting
replaces the whole value: `problems.arms: {guided: 1}` leaves no other arm. `for_hardware: {NAME: {section: {setting:
value}}}` in an experiment applies on that hardware only, `for_model: {tiny: ...}` with the toy only. Values are
literal; `${...}` is refused, so that no file can read the environment.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from conf import names
from conf.checks import check
from conf.errors import ConfigError
from conf.layers import (
    CHOICES,
    COMMAND_LINE,
    CONF_FOLDER,
    Assignment,
    Layer,
    display,
    find,
    read_file,
    read_with_parents,
)
from conf.machine import num_gpus
from conf.model_defaults import Device, defaults_of, explain
from conf.model_facts import ModelFacts, facts_of
from conf.redact import is_redacted, redacted
from conf.schema import RunConfig

TOY = "tiny"
"""Name of the toy's defaults in conf/models and under `for_model`."""
GPUS_TO_TRAIN = 2
"""One for an engine, one for a learner rank."""
CHANGEABLE_ON_RESUME = (
    "run.name", "run.root", "run.resume", "run.max_steps", "run.max_groups", "broker.url", "broker.role_users",
    "learner.max_engine_rms", "deploy.dashboard", "deploy.dashboard_host", "deploy.dashboard_port",
    "deploy.loggers",
)  # fmt: skip
"""Settings that may change when a run is resumed."""
OF_NO_RUN = ("oracle", "plan")
"""Sections that no run reads: those of `pope oracle` and `pope plan`."""


def load(experiment: Path | None = None, overrides: Sequence[str] = ()) -> RunConfig:
    """The complete, checked settings of a run. Raises `ConfigError` with one line that names the place."""
    base, named_with = _read_layers(experiment, overrides)
    named = named_with("")
    facts = facts_of(_text(named, "model.path", _text(base.assignments, "model.path", "")))
    if facts.toy:
        named = named_with(TOY)
    assignments = [*base.assignments, *_model_defaults(facts, named), *named]
    config = _build(assignments)
    try:
        check(config)
    except ConfigError as error:
        # The setting that was set last caused the violation.
        place = next((a.place for a in reversed(assignments) if _is_about(a.name, error.keys)), COMMAND_LINE)
        raise ConfigError(f"{place}: {error}", error.keys) from None
    return config


def names_a_model(experiment: Path | None, overrides: Sequence[str]) -> bool:
    """Whether the command line, the experiment or the hardware file sets `model.path`."""
    _, named_with = _read_layers(experiment, overrides)
    return any(assignment.name == "model.path" for assignment in named_with(""))


def _read_layers(
    experiment: Path | None, overrides: Sequence[str]
) -> tuple[Layer, Callable[[str], list[Assignment]]]:
    """(base.yaml, model -> what the hardware file, the experiment and the command line assign with it, in order)."""
    chosen, assigned = _read_overrides(overrides)
    base, *layers = _layers(_chosen_experiment(experiment, chosen))
    hardware = read_file(_hardware(chosen, [base, *layers], assigned))

    def named_with(model: str) -> list[Assignment]:
        return [a for layer in (hardware, *layers) for a in layer.on(hardware.path.stem, model)] + assigned

    return base, named_with


def hardware_name(overrides: Sequence[str]) -> str:
    """Name of the hardware file that `load` uses for these overrides."""
    chosen, assigned = _read_overrides(overrides)
    return _hardware(chosen, _layers(_chosen_experiment(None, chosen)), assigned).stem


def explain_defaults(config: RunConfig) -> str | None:
    """The line that says which defaults a real model got and why; None for the toy."""
    facts = facts_of(config.model.path)
    return None if facts.toy else explain(config, facts, num_gpus())


def dump(config: RunConfig) -> str:
    """The settings as YAML that `load` can read, without the password of `broker.url`."""
    shown = replace(config, broker=replace(config.broker, url=redacted(config.broker.url)))
    return OmegaConf.to_yaml(OmegaConf.structured(shown))


def settings_hash(config: RunConfig) -> str:
    """SHA-256 of the settings that must not change when a run is resumed."""
    values = asdict(config)
    for name in CHANGEABLE_ON_RESUME:
        section, _, key = name.partition(".")
        del values[section][key]
    for section in OF_NO_RUN:
        del values[section]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def refuse_changes(started: RunConfig, config: RunConfig) -> None:
    """Raises `ConfigError` naming the settings that changed between a run and its continuation, if any."""
    before, now = _fixed_settings(started), _fixed_settings(config)
    changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if changed:
        what = ", ".join(f"{name}={_shown(now, name)} (it has {_shown(before, name)})" for name in changed[:5])
        raise ConfigError(
            f"run.resume=true needs the settings that run {config.run.name} was started with, but {what}"
            f"{' and more' if len(changed) > 5 else ''}: restore them, or start a new run under another run.name",
            tuple(changed),
        )


def _shown(values: dict[str, Any], name: str) -> str:
    return display(values[name], name) if name in values else "nothing"


def _fixed_settings(config: RunConfig) -> dict[str, Any]:
    """`section.key` -> value of the settings that must not change when a run is resumed."""
    values = asdict(config)
    for section in OF_NO_RUN:
        del values[section]
    return {name: value for name, value in _flat(values, "").items() if name not in CHANGEABLE_ON_RESUME}


def _flat(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _is_about(name: str, keys: tuple[str, ...]) -> bool:
    return any(name == key or name.startswith(f"{key}.") for key in keys)


# Reading ------------------------------------------------------------------------------------------------------------


def _read_overrides(overrides: Sequence[str]) -> tuple[dict[str, str], list[Assignment]]:
    """`key=value` arguments -> (chosen experiment and hardware, settings)."""
    chosen, assigned = {}, []
    for word in overrides:
        name, equals, text = word.partition("=")
        _refuse_hydra(word, name)
        if not equals or not name or not text:
            raise ConfigError(f"{COMMAND_LINE}: {display(word)} is not key=value; write null for no value")
        if name in CHOICES:
            chosen[name] = text
        else:
            assigned.append(_read_override(name, text))
    return chosen, assigned


def _refuse_hydra(word: str, name: str) -> None:
    """Raises `ConfigError` for the prefixes by which Hydra adds and removes settings."""
    if name.startswith("+"):
        raise ConfigError(
            f"{COMMAND_LINE}: {display(word)}: no setting can be added, all of them exist (docs/settings.md); write it "
            "without the +"
        )
    if name.startswith("~"):
        raise ConfigError(
            f"{COMMAND_LINE}: {display(word)}: no setting can be removed; give it another value, such as null, or "
            "leave it out for its default"
        )


def _read_override(name: str, text: str) -> Assignment:
    try:
        name = names.full_name(name)
    except ConfigError as error:
        raise ConfigError(f"{COMMAND_LINE}: {display(name)}={display(text, name)}: {error}") from None
    if name == "broker.url" and redacted(text) != text and not is_redacted(text):
        raise ConfigError(
            f"{COMMAND_LINE}: {name}={display(text)}: every user of this machine can read a command line, and Ray "
            "stores it; put the whole URL into $POPE_BROKER_URL and leave the password out here"
        )
    annotation = names.annotation_of(name)
    if names.is_text(annotation):  # not parsed: run.name=007 is not the number 7
        optional = annotation == str | None
        return Assignment(name, None if optional and text == "null" else text, COMMAND_LINE)
    try:
        parsed = OmegaConf.from_dotlist([f"value={text}"])
        value = OmegaConf.to_container(parsed)["value"]  # type: ignore[index, call-overload]
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError):
        raise ConfigError(f"{COMMAND_LINE}: {name}={display(text)} is not a YAML value") from None
    if annotation in _ONE_NUMBER and _several_numbers(value):
        raise ConfigError(
            f"{COMMAND_LINE}: {name}={display(text)} holds several values, and a run has one; run the command once for "
            "each, under a run.name of its own"
        )
    return Assignment(name, value, COMMAND_LINE)


_ONE_NUMBER = (int, float, int | None, float | None)


def _several_numbers(value: object) -> bool:
    """Whether the value is a list, or numbers between commas, which YAML reads as text."""
    return isinstance(value, list) or (
        isinstance(value, str) and re.fullmatch(r"[-+.,\deE\s]*,[-+.,\deE\s]*", value) is not None
    )


def _chosen_experiment(file: Path | None, chosen: dict[str, str]) -> Path | None:
    """The experiment that is named by its file or by `experiment=`."""
    if "experiment" not in chosen:
        return file
    if file is not None:
        raise ConfigError(f"experiment={chosen['experiment']} contradicts the file {file}; give one of them")
    return find("experiment", chosen["experiment"])


def _layers(experiment: Path | None) -> list[Layer]:
    """base.yaml and the layers of an experiment."""
    return [read_file(CONF_FOLDER / "base.yaml"), *(read_with_parents(experiment) if experiment else [])]


def _hardware(chosen: dict[str, str], layers: Sequence[Layer], assigned: Sequence[Assignment]) -> Path:
    """The hardware file named by the command line, else by the experiment, its parents, or base.yaml.

    Instead of that of base.yaml, a model that is not the toy gets the GPUs of this machine, if there are enough.
    """
    if "hardware" in chosen:
        return find("hardware", chosen["hardware"])
    layer = next(layer for layer in reversed(layers) if "hardware" in layer.defaults)
    if layer is layers[0] and num_gpus() >= GPUS_TO_TRAIN:
        settings = [*(a for layer in layers for a in layer.assignments), *assigned]
        if not facts_of(_text(settings, "model.path", "")).toy:
            return find("hardware", "gpu")
    return find("hardware", layer.defaults["hardware"], layer.path)


def _model_defaults(facts: ModelFacts, named: Sequence[Assignment]) -> list[Assignment]:
    """The defaults of the model: after base.yaml, before everything that is named."""
    if facts.toy:
        return read_file(CONF_FOLDER / "models" / f"{TOY}.yaml").assignments
    device: Device = "cuda" if _text(named, "deploy.device", "cpu") == "cuda" else "cpu"
    return [
        Assignment(name, value, "conf/model_defaults.py")
        for name, value in defaults_of(facts, device, num_gpus()).items()
    ]


def _text(assignments: Sequence[Assignment], name: str, default: str) -> str:
    """The last text that was assigned to a setting. Other values are refused when the settings are built."""
    return next((a.value for a in reversed(assignments) if a.name == name and isinstance(a.value, str)), default)


# Building -----------------------------------------------------------------------------------------------------------


def _build(assignments: Sequence[Assignment]) -> RunConfig:
    config = OmegaConf.structured(RunConfig)
    for section in names.SECTIONS:  # nodes of frozen dataclasses are read-only
        OmegaConf.set_readonly(OmegaConf.select(config, section), False)
    OmegaConf.set_readonly(config, False)
    for assignment in assignments:
        _assign(config, assignment)
    return cast(RunConfig, OmegaConf.to_object(config))


def _assign(config: DictConfig, assignment: Assignment) -> None:
    name, value = assignment.name, assignment.value
    if _interpolates(value):
        raise ConfigError(
            f"{assignment.place}: {name}={display(value)} is not a literal value; ${{...}} and ??? are not supported"
        )
    annotation = names.annotation_of(name)
    # omegaconf would convert 2 to true and 7 to "7".
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
        raise ConfigError(f"{assignment.place}: {name}={display(value)} must be {choices}{quotes}{hint}") from None


def _interpolates(value: object) -> bool:
    match value:
        case str():
            return "${" in value or value == "???"
        case dict():
            return any(_interpolates(item) for pair in value.items() for item in pair)
        case list():
            return any(map(_interpolates, value))
    return False
