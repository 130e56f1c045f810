"""Prints the reference of all settings in Markdown, made from `conf/schema.py`.

    python -m conf.settings_page > docs/settings.md
"""

import ast
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, get_type_hints

from conf import schema
from conf.load import CHANGEABLE_ON_RESUME, OF_NO_RUN
from conf.names import choices, expected
from conf.schema import Range, RunConfig

_INTRODUCTION = """\
# Settings

<!-- Made by `python -m conf.settings_page > docs/settings.md` from conf/schema.py; do not edit. -->

Values come from `conf/base.yaml`, a file in `conf/hardware`, an experiment file and `key=value` on the command line, in
this order; the last one wins. `pope train --dry-run` prints the result.

    pope train experiment=pope hardware=cpu learner.learning_rate=1e-3 problems.arms.easy=1

On the command line the last part of a name is enough where it is unique, such as `max_lag=2`. An unknown name, a wrong
type, a value outside its range or a combination that cannot work is an error at start. Its message names the setting,
the value, the rule and a valid value.

{changeable}
"""


def reference() -> str:
    """The text of docs/settings.md."""
    documented = _docstrings()
    names = ", ".join(f"`{name}`" for name in CHANGEABLE_ON_RESUME)
    sections = " and ".join(f"`{name}`" for name in OF_NO_RUN)
    sentence = f"When a run is resumed, only these settings may change: {names}, and all of {sections}."
    changeable = fill(sentence, 120)
    parts = [_INTRODUCTION.format(changeable=changeable)]
    for section, kind in _sections(RunConfig, ""):
        parts += [f"## {section}", "", str(kind.__doc__).replace("\n    ", "\n"), ""]
        parts += ["| setting | type and range | default | meaning |", "|---|---|---|---|"]
        for field in fields(kind):
            annotation = get_type_hints(kind)[field.name]
            if not is_dataclass(annotation):
                parts.append(_row(f"{section}.{field.name}", field, annotation, documented[kind.__name__][field.name]))
        parts += [""]
    return "\n".join(parts).rstrip() + "\n"


def _sections(kind: type, prefix: str) -> Iterator[tuple[str, type]]:
    """(dotted name, dataclass) of every section, each before the sections inside it."""
    for name, annotation in get_type_hints(kind).items():
        if is_dataclass(annotation):
            assert isinstance(annotation, type)
            yield prefix + name, annotation
            yield from _sections(annotation, f"{prefix}{name}.")


def _row(name: str, field: Field[Any], annotation: Any, meaning: str) -> str:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    bounds = field.metadata.get("range")
    type_and_range = _type(annotation) + ("" if bounds is None else f", {_range(bounds)}")
    if known := field.metadata.get("names"):
        type_and_range = ", ".join([*(f"`{choice}`" for choice in known), "or `package.module:Name`"])
    cells = [f"`{name}`", type_and_range, f"`{_value(default)}`", meaning]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(annotation: Any) -> str:
    """`expected` without its article and example; choices as code."""
    if values := choices(annotation):
        return ", ".join(f"`{value}`" for value in values)
    kind, _, rest = expected(annotation).partition(", such as")
    null = " or null" if rest.endswith(" or null") else ""
    return kind.removeprefix("a ") + null


def _value(value: object) -> str:
    """A default in the notation of a YAML file."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case dict():
            return f"{{{', '.join(f'{key}: {_value(item)}' for key, item in value.items())}}}"
        case list():
            return f"[{', '.join(map(_value, value))}]"
    return str(value)


def _range(bounds: Range) -> str:
    if bounds.high is None:
        return f">= {_value(bounds.low)}"
    return f"{_value(bounds.low)} to {_value(bounds.high)}"


def _docstrings() -> dict[str, dict[str, str]]:
    """Class name -> setting -> the docstring that follows it, on one line."""
    tree = ast.parse(Path(schema.__file__).read_text(encoding="utf-8"))
    found: dict[str, dict[str, str]] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {}
            for setting, text in zip(node.body, node.body[1:], strict=False):
                match setting, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(docstring))):
                        found[node.name][name] = " ".join(docstring.split())
    return found


if __name__ == "__main__":
    print(reference(), end="")
