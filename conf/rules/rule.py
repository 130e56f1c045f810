"""What a rule is."""

from collections.abc import Callable, Iterator

from conf.schema import RunConfig

Violation = tuple[tuple[str, ...], str]
"""(the settings it is about, the first is the one to change; one sentence with values, rule and remedy)."""
Rule = Callable[[RunConfig], Iterator[Violation]]
