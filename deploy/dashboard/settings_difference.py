"""The settings in which two runs differ. Pure."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

import msgspec

from conf.redact import redacted
from conf.schema import RunConfig

NAME = "run.name"
"""It differs always, and is shown anyway."""


class Difference(msgspec.Struct, frozen=True):
    """One setting that differs."""

    setting: str
    here: str
    there: str


def differences(here: RunConfig, there: RunConfig) -> list[Difference]:
    """By the name of the setting; without passwords. A setting that only one run has is empty in the other."""
    ours, theirs = dict(_flat(here)), dict(_flat(there))
    names = sorted(ours.keys() | theirs.keys())
    pairs = [Difference(name, ours.get(name, ""), theirs.get(name, "")) for name in names]
    return [pair for pair in pairs if pair.here != pair.there and pair.setting != NAME]


def _flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    if is_dataclass(value):
        for field in fields(value):
            yield from _flat(getattr(value, field.name), f"{name}.{field.name}".lstrip("."))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}")
    else:
        text = "null" if value is None else str(value)
        yield name, redacted(text) or ""
