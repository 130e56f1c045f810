"""Checks the range of every number, the names of what plug-ins may replace, and the rules in `conf/rules/`.

`check` raises the first violation; `conf/load.py` adds the place where the setting was set.
"""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from conf.errors import ConfigError
from conf.names import did_you_mean
from conf.plugins import is_import_path
from conf.rules import diagnostics, evaluation, guidance, objective, oracle, problems, prompts, run, sft, sizes
from conf.rules.rule import Rule, Violation
from conf.schema import Range, RunConfig


def check(config: RunConfig) -> None:
    """Raises `ConfigError` with the first violation."""
    for rule in RULES:
        for keys, sentence in rule(config):
            raise ConfigError(sentence, keys)


def numbers_are_in_range(config: RunConfig) -> Iterator[Violation]:
    yield from _ranges(config, "")


def _ranges(section: Any, prefix: str) -> Iterator[Violation]:
    for field in fields(section):
        name, value, bounds = prefix + field.name, getattr(section, field.name), field.metadata.get("range")
        if is_dataclass(value):
            yield from _ranges(value, f"{name}.")
        elif isinstance(value, int | float) and abs(value) > 2**53:
            yield (name,), f"{name} must be a number from -2**53 to 2**53; give a smaller one"
        elif bounds is not None and value is not None and not _inside(value, bounds):
            nearest = _clamp(value, bounds)
            yield (name,), f"{name}={value} is outside its range {bounds}; the nearest valid value is {nearest}"


def names_are_known(config: RunConfig) -> Iterator[Violation]:
    yield from _unknown_names(config, "")


def _unknown_names(section: Any, prefix: str) -> Iterator[Violation]:
    for field in fields(section):
        name, value, known = prefix + field.name, getattr(section, field.name), field.metadata.get("names")
        if is_dataclass(value):
            yield from _unknown_names(value, f"{name}.")
        elif known is not None and value not in known and not is_import_path(value):
            valid = f"one of {', '.join(known)}" if len(known) > 1 else known[0]
            yield (name,), (
                f"{name}={value[:80]} must be {valid}, or a function of yours as package.module:Name"
                f"{did_you_mean(value, known)}"
            )


def _inside(value: float, bounds: Range) -> bool:
    low, high = (-math.inf if bounds.low is None else bounds.low), (math.inf if bounds.high is None else bounds.high)
    return low <= value <= high


def _clamp(value: float, bounds: Range) -> str:
    above = bounds.high is not None and value > bounds.high
    return f"{bounds.high if above else bounds.low:g}"


RULES: tuple[Rule, ...] = (
    numbers_are_in_range,
    names_are_known,
    *run.RULES,
    *problems.RULES,
    *prompts.RULES,
    *guidance.RULES,
    *sizes.RULES,
    *objective.RULES,
    *evaluation.RULES,
    *oracle.RULES,
    *diagnostics.RULES,
    *sft.RULES,
)
