r"""Finds the part of a response that follows its thoughts. Boxes inside a thought are no answers.

    <think>maybe \boxed{41}</think> It is \boxed{42}.        ->  " It is \boxed{42}."
    <think>maybe \boxed{41}                                  ->  None: the response was cut inside the thought

A thought that the prompt opens (`Thoughts.opened`) has only its closing marker in the response. Markers match in any
case of letters. Inside a thought only its own closing marker counts, so that a thought may mention other markers.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "analysis")
DEFAULT_PAIRS: tuple[tuple[str, str], ...] = (
    *((f"<{name}>", f"</{name}>") for name in _NAMES),
    *((f"[{name}]", f"[/{name}]") for name in ("think", "thinking", "thought", "reasoning")),
    *((f"<|{name}|>", f"<|/{name}|>") for name in ("think", "thinking", "thought", "reasoning")),
    *((f"<|begin_of_{name}|>", f"<|end_of_{name}|>") for name in ("think", "thinking", "thought", "reasoning")),
    *((f"<|{name}_start|>", f"<|{name}_end|>") for name in ("think", "thinking", "thought", "reasoning")),
    ("<|start_thinking|>", "<|end_thinking|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel|>analysis", "<|channel|>final"),
    ("<|channel>thought", "<channel|>"),
)
"""(opening, closing) markers of common models. Those of a tokenizer are added by the caller."""


@dataclass(frozen=True)
class Thoughts:
    """How a model marks its thoughts."""

    pairs: tuple[tuple[str, str], ...] = DEFAULT_PAIRS
    """(opening, closing) markers."""
    opened: bool = False
    """Whether the prompt ends inside a thought, so that a response without a closing marker has no answer."""


DEFAULT_THOUGHTS = Thoughts()


def after_last_thought(text: str, thoughts: Thoughts = DEFAULT_THOUGHTS) -> str | None:
    """The text after the last thought; None if the response ends inside a thought. Linear in the text."""
    openings, closings = _markers(thoughts)
    start, inside, expected = 0, thoughts.opened, closings
    for match in _pattern(thoughts).finditer(text):
        marker = match[0].lower()
        if marker in expected:
            start, inside, expected = match.end(), False, closings
        elif marker in openings and expected is closings:
            inside, expected = True, openings[marker]
    return None if inside else text[start:]


@lru_cache(maxsize=64)
def _markers(thoughts: Thoughts) -> tuple[dict[str, set[str]], set[str]]:
    """(opening marker -> its closing markers, all closing markers), in lower case."""
    openings: dict[str, set[str]] = {}
    for opening, closing in thoughts.pairs:
        openings.setdefault(opening.lower(), set()).add(closing.lower())
    return openings, {closing.lower() for _, closing in thoughts.pairs}


@lru_cache(maxsize=64)
def _pattern(thoughts: Thoughts) -> re.Pattern[str]:
    markers = {marker for pair in thoughts.pairs for marker in pair if marker}
    longest_first = sorted(markers, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)", re.IGNORECASE)
