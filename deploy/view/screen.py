"""The one way to a terminal. Text is text here: problem ids, labels and error messages come from outside."""

import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from conf.plain import plain_lines

PIPE_COLUMNS = 160
"""Width of a table that is not shown in a terminal."""


class Screen(Console):
    """A console without markup and highlighting that shows every string by `conf.plain`. A `Text` brings its styles,
    and whoever makes one of foreign words passes them through `plain` first."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain_lines(text), **options)


def screen() -> Screen:
    """Standard output; where that is no terminal, lines are as long as what they say."""
    return Screen(soft_wrap=not sys.stdout.isatty())


def table_screen() -> Screen:
    """For a table: as wide as the terminal, or wide enough for a file."""
    return Screen(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
