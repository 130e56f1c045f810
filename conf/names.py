"""The settings by dotted name: their types, and suggestions for misspelled names."""

from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from difflib import SequenceMatcher, get_close_matches
from operator import attrgetter
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from conf.errors import ConfigError
from conf.schema import RunConfig


def _walk(section: type, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, annotation in get_type_hints(section).items():
        yield prefix + name, annotation
        if is_dataclass(annotation):
            yield from _walk(annotation, f"{prefix}{name}.")  # type: ignore[arg-type]


_ALL = dict(_walk(RunConfig, ""))
SETTINGS: dict[str, Any] = {name: annotation for name, annotation in _ALL.items() if not is_dataclass(annotation)}
"""`learner.max_lag` -> `int | None`, for every setting."""
SECTIONS: tuple[str, ...] = tuple(name for name in _ALL if name not in SETTINGS)
"""`learner`, `broker`, `broker.ring`, ..."""


def flat(config: RunConfig) -> dict[str, Any]:
    """`learner.max_lag` -> its value, for every setting."""
    return {name: attrgetter(name)(config) for name in SETTINGS}


def full_name(name: str) -> str:
    """The full name of the setting with this unambiguous ending, such as `max_lag`.

    `problems.arms.easy` names an item of a mapping. Raises `ConfigError` for unknown and ambiguous names.
    """
    if name in SETTINGS:
        return name
    matches = _ending_with(name)
    parent, _, item = name.rpartition(".")
    if not matches and item.isidentifier():
        matches = [f"{match}.{item}" for match in _ending_with(parent) if get_origin(SETTINGS[match]) is dict]
    if len(matches) > 1:
        raise ConfigError(f"it could be {' or '.join(matches)}; write one of them")
    if not matches:
        raise ConfigError(unknown(name))
    return matches[0]


def _ending_with(name: str) -> list[str]:
    return [known for known in SETTINGS if known == name or known.endswith(f".{name}")]


_OTHER_NAMES = {
    "lr": "learner.learning_rate",
    "batch_size": "learner.batch_samples",
    "train_batch_size": "learner.batch_samples",
    "model_name_or_path": "model.path",
    "dataset": "problems.source",
    "data": "problems.source",
    "num_generations": "actors.group_size",
    "max_new_tokens": "actors.max_completion_tokens",
    "max_length": "actors.max_completion_tokens",
    "beta": "learner.kl_coef",
    "steps": "run.max_steps",
    "output_dir": "run.root",
}
"""Names of other trainers -> ours."""


def unknown(name: str) -> str:
    """An error message for an unknown name, with the most similar setting or the valid names."""
    if name in SECTIONS:
        return f"a section, not a setting; it holds {', '.join(_children(name))}"
    if name.rpartition(".")[2] in _OTHER_NAMES:
        return f"unknown setting; did you mean {_OTHER_NAMES[name.rpartition('.')[2]]}?"
    score, best = max((_similarity(name, known), known) for known in _ALL)
    if score > 1.2:
        return f"unknown setting; did you mean {best}?"
    section = name.rpartition(".")[0]
    section = next(iter(get_close_matches(section, SECTIONS, n=1)), "")
    if section:
        return f"unknown setting; {section} holds {', '.join(_children(section))}"
    return f"unknown setting; the sections are {', '.join(s for s in SECTIONS if '.' not in s)}"


def _children(section: str) -> list[str]:
    return [name.removeprefix(f"{section}.") for name in _ALL if name.rpartition(".")[0] == section]


def _similarity(name: str, known: str) -> float:
    """0 to 2: similarity of the whole names plus similarity of their last parts, so that a correct name in the wrong
    section is found."""
    pairs = ((name, known), (name.rpartition(".")[2], known.rpartition(".")[2]))
    return sum(SequenceMatcher(None, a, b).ratio() for a, b in pairs)


def did_you_mean(value: object, valid: Iterable[str]) -> str:
    """"; did you mean X?", or nothing when no valid name is similar."""
    near = get_close_matches(str(value), list(valid), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def expected(annotation: Any) -> str:
    """The values of a setting of this type, in words."""
    arms = [arm for arm in get_args(annotation) if arm is not NoneType]
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(str, arms))}"
    if get_origin(annotation) is dict and is_text(item_of(annotation)):
        return "a mapping of names to names, such as {statement: question}"
    if get_origin(annotation) is dict and item_of(annotation) is Any:
        return "a mapping of names to values, such as {enable_thinking: false}"
    if get_origin(annotation) is dict and get_origin(item_of(annotation)) is list:
        return "a mapping of names to intervals, such as {hard: [0, 0], easy: [0.2, 0.4]}"
    if get_origin(annotation) is dict:
        return "a mapping of names to whole numbers, such as {unguided: 1, guided: 1}"
    if get_origin(annotation) is list and get_args(annotation) == (str,):
        return "a list of names, such as [bus, farm]"
    if get_origin(annotation) is list and (words := choices(get_args(annotation)[0])):
        return f"a list out of {', '.join(words)}, such as [{words[0]}]"
    if get_origin(annotation) is list:
        return "a list of whole numbers, such as [1, 8]" if get_args(annotation) == (int,) else "a list of numbers"
    if arms:
        return f"{expected(arms[0])} or null"
    return {str: "text", int: "a whole number", float: "a number", bool: "true or false"}[annotation]


def choices(annotation: Any) -> tuple[Any, ...]:
    """The values of a `Literal`; empty for any other type."""
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def annotation_of(name: str) -> Any:
    """The type of a setting, or of an item of a setting that is a mapping (`problems.arms.easy`)."""
    return SETTINGS[name] if name in SETTINGS else item_of(SETTINGS[name.rpartition(".")[0]])


def item_of(mapping: Any) -> Any:
    """The type of the values of a mapping."""
    return get_args(mapping)[1]


def is_text(annotation: Any) -> bool:
    """Whether a setting of this type holds text: `str`, `str | None` or a choice between words."""
    return annotation in (str, str | None) or any(isinstance(choice, str) for choice in choices(annotation))
