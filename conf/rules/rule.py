"""The type of a rule."""

from collections.abc import Callable, Iterator

from conf.schema import RunConfig

Violation = tuple[tuple[str, ...], str]
"""(names of the settings, first the one to change; a sentence with values, rule and remedy)."""
Rule = Callable[[RunConfig], Iterator[Violation]]
