r"""Finds the markers around a model's thoughts, and whether its prompts open or skip a thought.

    ...assistant\n<think>\n                 the prompt opens a thought; the response closes it
    ...assistant\n<think>\n\n</think>\n\n   the prompt skips the thought (enable_thinking=false)
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from actors.verification.thoughts import DEFAULT_PAIRS

Pair = tuple[str, str]
"""(opening marker, closing marker)"""

_NAME = r"(?:think|thought|reason|reflect|scratchpad|analysis|cot(?![a-z]))"
_ABOUT_THOUGHTS = re.compile(_NAME, re.IGNORECASE)
_OPENED_LAST = re.compile(rf"[<\[◁][|:\uff5c\u2581\w]*{_NAME}[|:\uff5c\u2581\w]*[>\]▷]\s*\Z", re.IGNORECASE)
_BEGINNINGS = (("begin", "end"), ("start", "end"), ("open", "close"), ("prefix", "suffix"))
"""Words that differ between an opening and a closing marker."""


def thought_pairs(added_tokens: Iterable[str], prompt_end: str = "") -> tuple[Pair, ...]:
    """The usual pairs, and those among the added tokens of a tokenizer or at the very end of its prompts."""
    texts = set(added_tokens)
    own = [(text, end) for text in sorted(texts) if _ABOUT_THOUGHTS.search(text) for end in _ends(text) if end in texts]
    pairs = [*own, *DEFAULT_PAIRS]
    if last := _OPENED_LAST.search(prompt_end):
        marker = last[0].rstrip()
        if not any(opening == marker for opening, _ in pairs):
            pairs = [*((marker, end) for end in list(_ends(marker))[:1]), *pairs]
    return tuple(dict.fromkeys(pairs))


def opened_pair(prompt_end: str, pairs: Iterable[Pair]) -> Pair | None:
    """The pair whose thought the prompt opens and does not close."""
    return next((pair for pair in pairs if _thought_in(prompt_end, pair) == "opened"), None)


def skipped_pair(prompt_end: str, pairs: Iterable[Pair]) -> Pair | None:
    """The pair whose thought the prompt opens and closes, so that the response has none."""
    return next((pair for pair in pairs if _thought_in(prompt_end, pair) == "closed"), None)


def fitted_to_prompt(response: str, prompt_end: str, pairs: Sequence[Pair]) -> str:
    """A response from another source as the continuation of the prompt: with one thought and the answer after it.

    If the prompt opens the thought, the response's own opening marker is left out, and a response without a thought
    closes it first. If the prompt skips the thought, that of the response is left out.
    """
    if opened := opened_pair(prompt_end, pairs):
        thought, closed, answer = _split(response, [opened, *pairs])
        line_end = "\n" if prompt_end.endswith("\n") else ""
        if thought is None:
            return f"{line_end}{opened[1]}\n\n{response}"
        return f"{thought.lstrip(line_end)}{opened[1] if closed else ''}{answer}"
    if skipped := skipped_pair(prompt_end, pairs):
        _, closed, answer = _split(response, [skipped, *pairs])
        return answer.lstrip("\n") if closed else response
    return response


def _split(response: str, pairs: Iterable[Pair]) -> tuple[str | None, bool, str]:
    """(the thought at the beginning of a response or None, whether it is closed, the text after it).

    A thought may lack its opening marker, as in a response to a prompt that opened it.
    """
    body = response.lstrip()
    for opening, closing in pairs:
        begin, end = (re.search(re.escape(marker), body, re.IGNORECASE) for marker in (opening, closing))
        thought, answer = (body[: end.start()], body[end.end() :]) if end else (body, "")
        if begin and begin.start() == 0:
            return thought[begin.end() :], end is not None, answer
        if end and (begin is None or begin.start() > end.start()):
            return thought, True, answer
    return None, False, response


def _thought_in(prompt_end: str, pair: Pair) -> Literal["opened", "closed"] | None:
    """What the end of a prompt does with thoughts of one pair; markers match in any case of letters."""
    text, opening, closing = prompt_end.lower(), pair[0].lower(), pair[1].lower()
    start = text.rfind(opening)
    if start < 0:
        return None
    return "closed" if text.find(closing, start + len(opening)) >= 0 else "opened"


def _ends(opening: str) -> Iterator[str]:
    """The closing markers that an opening one can have: <|end_of_thought|>, </think>, [/THINK], <|/think|>."""
    for begin, end in _BEGINNINGS:
        for old, new in ((begin, end), (begin.upper(), end.upper()), (begin.title(), end.title())):
            if old in opening:
                yield opening.replace(old, new)
    first_letter = re.search(r"\w", opening)
    if first_letter and "/" not in opening:
        yield f"{opening[: first_letter.start()]}/{opening[first_letter.start() :]}"
        if opening.startswith("<|"):
            yield f"</{opening[1:]}"
