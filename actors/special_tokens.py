"""The tokens of a tokenizer that control a conversation: special ones, and others written as <|...|>."""

import re
from typing import Any

_CONTROL_FORM = re.compile(r"<[|\uff5c].*[|\uff5c]>", re.DOTALL)
"""The vertical line, or the full-width one."""


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """Id -> text of every token that text of a problem must not turn into.

    Models do not mark all of them as special: some of the form <|...|> are ordinary added tokens. Other added tokens,
    such as runs of blanks or HTML tags, are text.
    """
    added = getattr(tokenizer, "added_tokens_decoder", {})
    found = {id: str(token) for id, token in added.items() if token.special or _CONTROL_FORM.fullmatch(str(token))}
    ids, texts = getattr(tokenizer, "all_special_ids", ()), getattr(tokenizer, "all_special_tokens", ())
    found |= dict(zip(ids, texts, strict=True))
    return {id: text for id, text in found.items() if len(text) > 2}  # some pad with a full stop or a "!"


def added_texts(tokenizer: Any) -> frozenset[str]:
    """The texts of all added tokens, special or not."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return frozenset(str(token) for token in added.values()) | set(getattr(tokenizer, "all_special_tokens", ()))
