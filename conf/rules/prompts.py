"""Prompts: variables of the chat template."""

import math
from collections.abc import Iterator

from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig

OWN_ARGUMENTS = (
    "conversation", "messages", "tokenize", "add_generation_prompt", "continue_final_message", "padding", "truncation",
    "max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs",
)  # fmt: skip
"""Arguments of `apply_chat_template` that decide what it returns; `actors/chat_template.py` sets them."""


def template_kwargs_are_free(config: RunConfig) -> Iterator[Violation]:
    for name in config.prompts.template_kwargs:
        if name in OWN_ARGUMENTS:
            yield ("prompts.template_kwargs",), (
                f"prompts.template_kwargs contains {name}, which pope-rl sets itself; remove it"
            )
        if not name.isidentifier():
            yield ("prompts.template_kwargs",), (
                f"prompts.template_kwargs contains {name[:80]!r}, which is not the name of a variable; write a name "
                "such as enable_thinking"
            )


def template_kwargs_are_json(config: RunConfig) -> Iterator[Violation]:
    for name, value in config.prompts.template_kwargs.items():
        if not _is_json(value):
            yield ("prompts.template_kwargs",), (
                f"prompts.template_kwargs.{name[:80]}={str(value)[:80]} is not a value of JSON; give text, a number, "
                "true, false, null, or lists and mappings of these"
            )


def _is_json(value: object) -> bool:
    match value:
        case None | bool() | int() | str():
            return True
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_is_json, value))
        case dict():
            return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    return False


RULES: tuple[Rule, ...] = (template_kwargs_are_free, template_kwargs_are_json)
