r"""Escapes untrusted text (of a model, a data set, a server) for terminals, logs and Markdown.

Such text may contain terminal escapes, line ends that forge a log line, characters that change the reading direction,
or a megabyte without a space. Unprintable characters are shown as escape sequences, and long text is cut.
"""

import logging
import re
import unicodedata

LINE_CHARS = 2_000
"""Longest line in a terminal or a log."""
BLOCK_CHARS = 16_000
"""Longest text of several lines, such as a traceback or a solution."""

_MARKDOWN = re.compile(r"([\\`*_\[\]<>&|#!~$])")


def plain(text: object, limit: int = LINE_CHARS) -> str:
    r"""One line of printable characters; at most `limit` characters of the text.

    >>> plain("a\x1b[31mred\nsecond line")
    'a\\x1b[31mred\\nsecond line'
    """
    return _escaped(str(text), limit, kept="")


def plain_lines(text: object, limit: int = BLOCK_CHARS) -> str:
    """Like `plain`, with line ends kept; a tab becomes four spaces."""
    return _escaped(str(text).replace("\r\n", "\n").replace("\t", "    "), limit, kept="\n")


def plain_markdown(text: object, limit: int = LINE_CHARS) -> str:
    r"""One line of Markdown that shows the text literally.

    >>> plain_markdown("[x](http://tracker)")
    '\\[x\\](http://tracker)'
    """
    return _MARKDOWN.sub(r"\\\1", plain(text, limit))


class PlainFormatter(logging.Formatter):
    """Formats every log message as one line; only a traceback has several."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return plain(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        return plain_lines(super().formatException(ei))  # type: ignore[arg-type]


def _escaped(text: str, limit: int, kept: str) -> str:
    shown = text if len(text) <= limit else text[:limit]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() or c in kept else _escape(c) for c in shown)
    return shown if len(text) <= limit else f"{shown}... ({len(text) - limit} more characters)"


def _escape(character: str) -> str:
    """A space for any space character, the escape sequence of any other unprintable one."""
    return " " if unicodedata.category(character) == "Zs" else character.encode("unicode_escape").decode()
