"""The consoles that all output goes through. Text is shown as text: problem ids, labels and errors are not trusted."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from conf.plain import plain_lines

PIPE_COLUMNS = 160
"""Width of a table when standard output is not a terminal."""


class Screen(Console):
    """A console without markup and highlighting that shows every string through `conf.plain`.

    A `Text` keeps its styles; untrusted words in it must go through `plain` first.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)
        self._log: Screen | None = None

    @contextmanager
    def logged(self, path: Path) -> Iterator[None]:
        """While this lasts, everything that is printed is appended to a file too, as plain text."""
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            self._log = Screen(file=file, width=PIPE_COLUMNS, soft_wrap=True, color_system=None)
            self._log.print(f"# {time.strftime('%Y-%m-%d %H:%M:%S %z')}")
            try:
                yield
            finally:
                self._log = None

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*objects, **options)
        self.to_log(*objects, **options)

    def to_log(self, *objects: Any, **options: Any) -> None:
        """Print to the log alone, if there is one."""
        if self._log is not None:
            self._log.print(*objects, **options)
            self._log.file.flush()

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(plain_lines(text), **options)


def screen() -> Screen:
    """Standard output. Lines are not wrapped when it is not a terminal."""
    return Screen(soft_wrap=not sys.stdout.isatty())


def table_screen() -> Screen:
    """Standard output for a table: as wide as the terminal, otherwise `PIPE_COLUMNS`."""
    return Screen(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
