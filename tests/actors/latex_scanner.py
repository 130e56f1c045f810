"""A LaTeX scanner without regular expressions, one character at a time: a reference for tests of the splitter.

`spans(text)` returns every closed construct as (kind, start, stop, content). A construct that is never closed is plain
text; an inline formula cannot contain a blank line.
"""

from typing import NamedTuple


class Span(NamedTuple):
    kind: str
    """`math`, `box`, `code`, or the name of an environment."""
    start: int
    stop: int
    content: str


def spans(text: str) -> list[Span]:
    found: list[Span] = []
    opened: list[tuple[str, int, int]] = []  # kind or delimiter, start, start of the content
    depth = 0
    boxes: list[tuple[int, int, int]] = []  # start, start of the content, brace depth around it
    position = 0

    def close(name: str, kind: str, stop: int) -> bool:
        for index in range(len(opened) - 1, -1, -1):
            if opened[index][0] == name:
                _, start, inside = opened[index]
                found.append(Span(kind, start, stop, text[inside:position]))
                del opened[index:]
                return True
        return False

    while position < len(text):
        rest = text[position : position + 2]
        char = text[position]
        width = 1
        if text.startswith("```", position):
            width = 3
            if not close("```", "code", position + 3):
                opened.append(("```", position, position + 3))
        elif text.startswith("[asy]", position):
            width = 5
            opened.append(("asy", position, position + 5))
        elif text.startswith("[/asy]", position):
            width = 6
            close("asy", "code", position + 6)
        elif rest in ("\\[", "\\("):
            width = 2
            opened.append((rest, position, position + 2))
        elif rest in ("\\]", "\\)"):
            width = 2
            close("\\[" if rest == "\\]" else "\\(", "math", position + 2)
        elif char == "\\":
            name = ""
            while position + 1 + len(name) < len(text) and text[position + 1 + len(name)].isalpha():
                name += text[position + 1 + len(name)]
            width = 1 + max(1, len(name))
            after = position + width
            if name in ("begin", "end") and text[after : after + 1] == "{" and "}" in text[after : after + 30]:
                closing = text.index("}", after)
                environment = text[after + 1 : closing]
                width = closing + 1 - position
                if name == "begin":
                    opened.append((f"env {environment}", position, closing + 1))
                else:
                    close(f"env {environment}", environment, closing + 1)
            elif name in ("boxed", "fbox"):
                while text[after : after + 1] == " ":
                    after += 1
                if text[after : after + 1] == "{":
                    boxes.append((position, after + 1, depth))
                    depth += 1
                    width = after + 1 - position
        elif rest == "$$":
            width = 2
            if not close("$$", "math", position + 2):
                opened.append(("$$", position, position + 2))
        elif char == "$":
            if not close("$", "math", position + 1):
                opened.append(("$", position, position + 1))
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if boxes and boxes[-1][2] == depth:
                start, inside, _ = boxes.pop()
                found.append(Span("box", start, position + 1, text[inside:position]))
        elif char == "\n" and text[position + 1 :].lstrip(" \t")[:1] == "\n":
            opened = [each for each in opened if each[0] != "$"]
        position += width
    return found


def numbers(text: str) -> list[str]:
    """Numbers that are not part of a word, of a longer number, of an index or of an exponent."""
    found, position = [], 0
    while position < len(text):
        if not text[position].isascii() or not text[position].isdigit():
            position += 1
            continue
        start = position
        while position < len(text) and (
            text[position].isdigit() or (text[position] in ".," and text[position + 1 : position + 2].isdigit())
        ):
            position += 1
        before, after = text[start - 1 : start], text[position : position + 1]
        if not (before.isalpha() or before in ("^", "_", "{", "\\", ".") or after.isalpha() or after in ("^", "_")):
            found.append(text[start:position])
    return found
