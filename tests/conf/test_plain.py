"""Untrusted text is escaped, cut, and otherwise unchanged."""

import logging

import pytest

from conf.plain import PlainFormatter, plain, plain_lines, plain_markdown

HOSTILE = {
    "colour": "\x1b[31mred\x1b[0m",
    "clear the screen": "\x1b[2J\x1b[H",
    "hyperlink (OSC 8)": "\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "write the clipboard (OSC 52)": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "set the title": "\x1b]0;root@host\x07",
    "C1 control": "\x9b31mred",
    "turned around": "\u202etxt.exe\u202c",
    "isolate": "\u2066abc\u2069",
    "invisible": "a\u200b\u2060\ufeffb",
    "NUL": "a\x00b",
    "backspace": "safe\x08\x08\x08\x08evil",
    "carriage return": "10 errors\r0 errors ",
    "forged line": "x\n2026-01-01 00:00:00 learner INFO all is well",
    "line separator": "a\u2028b\u2029c\x85d",
    "half a pair": "a\ud800b",
    "tag characters": "a\U000e0041b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_is_one_line_of_printable_characters(text: str) -> None:
    for shown in (plain(text), plain_markdown(text)):
        assert shown.isprintable()
        shown.encode()
    assert all(line.isprintable() for line in plain_lines(text).split("\n"))


def test_ordinary_text_is_unchanged() -> None:
    text = "Find $x^2 = 4$, in °C: naïve 数学 🙂 [bold]not bold[/bold]"
    assert plain(text) == plain_lines(text) == text


def test_spaces_are_normalized_and_plain_lines_keeps_line_ends() -> None:
    assert plain("a\u00a0b\u3000c") == "a b c"
    assert plain("a\n\tb") == "a\\n\\tb"
    assert plain_lines("a\r\n\tb") == "a\n    b"


def test_long_text_is_cut_with_a_note() -> None:
    assert plain("x" * 10**6, 10) == "xxxxxxxxxx... (999990 more characters)"
    assert len(plain("\u202e" * 10**6, 100)) < 700
    assert len(plain_lines("y\n" * 10**6)) < 20_000


def test_markdown_is_escaped() -> None:
    assert plain_markdown("![x](http://t) <b>|`a`*_") == "\\!\\[x\\](http://t) \\<b\\>\\|\\`a\\`\\*\\_"


def test_a_log_message_is_always_one_line() -> None:
    formatter = PlainFormatter("%(levelname)s %(message)s")
    try:
        raise ValueError("first\x1b[2J\nsecond")
    except ValueError as error:
        info = (ValueError, error, error.__traceback__)
    record = logging.LogRecord("a", logging.ERROR, __file__, 1, "failed: %s", (HOSTILE["forged line"],), info)
    message, *trace = formatter.format(record).split("\n")
    assert message == "ERROR failed: x\\n2026-01-01 00:00:00 learner INFO all is well"
    assert trace[0].startswith("Traceback")
    assert all(line.isprintable() for line in trace)
    assert "first\\x1b[2J" in "\n".join(trace)
