"""Joins a prefix of the oracle solution and the model's completion into one solution without repetition. Pure.

Under POPE's instruction a model may restate the partial response, or its end, before it continues. The restated part is
removed from the completion, so the joined text always begins with the unchanged prefix. A completion that does not form
a coherent solution with the prefix is rejected with a reason.
"""

import re

from actors.problems.cut_points import boundaries

STARTS_OVER = "starts over"
REFERS_TO_PREFIX = "refers to the partial response"

_REFERENCE = re.compile(r"\bpartial\s+(?:response|solution)\b", re.IGNORECASE)
"""The joined text is trained after the unguided prompt, which has no partial response."""


class JoinError(ValueError):
    """Prefix and completion do not form a coherent solution. The message is one of a few reasons, which are counted."""


def join(prefix: str, completion: str) -> str:
    """The joined solution. White space is ignored in comparisons. Raises JoinError.

    - The completion contains the whole prefix: only the text after the prefix is appended.
    - It begins with the last steps of the prefix: the text after them is appended.
    - It contains the first step of the prefix, but not the rest: it starts over and is rejected.
    - Otherwise it continues where the prefix ends: all of it is appended.
    """
    prefix, completion = prefix.strip(), completion.strip()
    if not prefix:
        return completion
    rest = _rest(prefix, completion)
    if _REFERENCE.search(rest) and not _REFERENCE.search(prefix):
        raise JoinError(REFERS_TO_PREFIX)
    return f"{prefix}\n{rest.strip()}" if rest.strip() else prefix


def _rest(prefix: str, completion: str) -> str:
    """The part of the completion that is appended to the prefix."""
    if whole := _pattern(prefix).search(completion):
        return completion[whole.end() :]
    starts = [0, *boundaries(prefix)[:-1]]
    for start in starts[1:]:
        if overlap := _pattern(prefix[start:]).match(completion):
            return completion[overlap.end() :]
    first_step = prefix[: boundaries(prefix)[0]]
    if _pattern(first_step).search(completion):
        raise JoinError(STARTS_OVER)
    return completion


def _pattern(text: str) -> re.Pattern[str]:
    """Matches the text with any white space between its words, but not as part of a longer word."""
    return re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, text.split())) + r"(?!\w)")
