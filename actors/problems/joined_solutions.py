"""A prefix of the oracle solution and what the model wrote after it, as one solution that says nothing twice. Pure.

Under POPE's instruction a model may restate the partial response, or its end, before it goes on. What it restates is
taken out of the completion, never out of the prefix: the joined text always begins with the prefix as the oracle wrote
it. A completion that cannot be joined to one coherent solution is refused with a reason.
"""

import re

from actors.problems.cut_points import boundaries

STARTS_OVER = "starts over"
REFERS = "refers to the partial response"

_REFERENCE = re.compile(r"\bpartial\s+(?:response|solution)\b", re.IGNORECASE)
"""The unguided prompt, after which the joined text is trained, holds no such thing."""


class Incoherent(ValueError):
    """Prefix and completion make no one solution; the text is the reason, in a few words that are counted."""


def join(prefix: str, completion: str) -> str:
    """One solution. White space does not count when the two are compared. Raises Incoherent.

    The whole prefix stands in the completion: the completion counts from behind it, without what led up to it.
    The completion begins with the last steps of the prefix: it counts from behind them.
    It begins with the first step and deviates then, or has it further down: it starts over, and is refused.
    Else it goes on where the prefix ends.
    """
    prefix, completion = prefix.strip(), completion.strip()
    if not prefix:
        return completion
    rest = _rest(prefix, completion)
    if _REFERENCE.search(rest) and not _REFERENCE.search(prefix):
        raise Incoherent(REFERS)
    return f"{prefix}\n{rest.strip()}" if rest.strip() else prefix


def _rest(prefix: str, completion: str) -> str:
    """What the completion adds to the prefix."""
    if whole := _pattern(prefix).search(completion):
        return completion[whole.end() :]
    starts = [0, *boundaries(prefix)[:-1]]
    for start in starts[1:]:
        if overlap := _pattern(prefix[start:]).match(completion):
            return completion[overlap.end() :]
    first_step = prefix[: boundaries(prefix)[0]]
    if _pattern(first_step).search(completion):
        raise Incoherent(STARTS_OVER)
    return completion


def _pattern(text: str) -> re.Pattern[str]:
    """The text, whatever white space is between its words, and not as a part of a longer word."""
    return re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, text.split())) + r"(?!\w)")
