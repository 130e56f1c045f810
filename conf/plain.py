r"""Text that somebody else wrote (a model, a data set, a server), made fit to be shown to a person.

Such text may hold terminal escapes, line ends that forge a line of a log, signs that turn the reading direction, or a
megabyte without a blank. What cannot be printed is shown as its escape sequence, and what is too long is cut.
"""

import logging
import re
import unicodedata

LINE_CHARS = 2_000
"""Of one line in a terminal or a log."""
BLOCK_CHARS = 16_000
"""Of a text of several lines: a traceback, a solution."""

_MARKDOWN = re.compile(r"([\\`*_\[\]<>&|#!~$])")


def plain(text: object, limit: int = LINE_CHARS) -> str:
    r"""One line that holds nothing but signs; at most `limit` characters of the text.

    >>> plain("a\x1b[31mred\nsecond line")
    'a\\x1b[31mred\\nsecond line'
    """
    return _escaped(str(text), limit, kept="")


def plain_lines(text: object, limit: int = BLOCK_CHARS) -> str:
    """The same with its lines kept; a tab is four blanks."""
    return _escaped(str(text).replace("\r\n", "\n").replace("\t", "    "), limit, kept="\n")


def plain_markdown(text: object, limit: int = LINE_CHARS) -> str:
    r"""One line of Markdown that shows the text and does nothing else.

    >>> plain_markdown("[x](http://tracker)")
    '\\[x\\](http://tracker)'
    """
    return _MARKDOWN.sub(r"\\\1", plain(text, limit))


class PlainFormatter(logging.Formatter):
    """A log in which every message is one line, whoever's words it repeats; only a traceback has several."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return plain(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        return plain_lines(super().formatException(ei))  # type: ignore[arg-type]


def _escaped(text: str, limit: int, kept: str) -> str:
    shown = text if len(text) <= limit else text[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() or c in kept else _sign(c) for c in shown)
    return shown if len(text) <= limit else f"{shown}... ({len(text) - limit} more characters)"


def _sign(character: str) -> str:
    """A blank of any width is a blank; anything else without a glyph is its escape sequence."""
    return " " if unicodedata.category(character) == "Zs" else character.encode("unicode_escape").decode()
