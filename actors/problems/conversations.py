"""Reads a problem from a conversation by the roles of its turns, never by their positions. Pure.

    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 1+1?"},
     {"role": "assistant", "content": "It is 2."}]
    -> Conversation(statement="What is 1+1?", system="Be brief.", solution="It is 2.")

Turns may also be written as `{"from": "human", "value": ...}`, and a content as a list of text parts. Of several
questions the last is the problem. A conversation that a prompt cannot hold (a tool, an image) raises
`ConversationError` with a reason.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

ConversationFault = Literal["tool_turn", "turn_order", "unknown_role", "not_text", "empty_statement"]
Role = Literal["system", "user", "assistant", "tool"]

ROLES: dict[str, Role] = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "ai": "assistant",
    "chatgpt": "assistant",
    "tool": "tool", "function": "tool", "function_call": "tool", "function_response": "tool", "tool_call": "tool",
    "tool_response": "tool", "observation": "tool", "ipython": "tool",
}  # fmt: skip
"""Names of roles in public data sets, in lower case -> role."""
_ROLE_KEYS, _CONTENT_KEYS = ("role", "from"), ("content", "value", "text")


class ConversationError(ValueError):
    """A conversation that is not one question. The message is the predicate of a sentence about the column."""

    def __init__(self, reason: ConversationFault, message: str) -> None:
        super().__init__(message)
        self.reason: ConversationFault = reason


@dataclass(frozen=True)
class Conversation:
    """The last question, with what stands around it."""

    statement: str
    """The last user turn."""
    system: str | None
    """The system turns before it, joined by a blank line."""
    solution: str | None
    """The assistant turn after it."""
    num_earlier: int = 0
    """User and assistant turns before it, which no prompt holds."""


def is_conversation(value: Any) -> bool:
    """Whether a value is a list of turns: objects with a role."""
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and len(value) > 0
        and all(isinstance(turn, Mapping) and any(key in turn for key in _ROLE_KEYS) for turn in value)
    )


def written_conversation(text: str) -> list[Any] | None:
    """The turns of a conversation that a table holds as text, JSON or Python; None for other texts."""
    if not re.match(r"\s*\[\s*\{", text):
        return None
    for parse in (json.loads, ast.literal_eval):
        try:
            turns = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if is_conversation(turns):
            return list(turns)
    return None


def read_conversation(turns: Sequence[Mapping[str, Any]]) -> Conversation:
    """The question of a list of turns (`is_conversation`). Raises ConversationError."""
    spoken = [(_role(turn), turn) for turn in turns]
    if any(role == "tool" or turn.get("tool_calls") for role, turn in spoken):
        raise ConversationError("tool_turn", "has a turn of a tool, which a prompt cannot hold")
    texts = [(role, _text(turn)) for role, turn in spoken]
    questions = [position for position, (role, _) in enumerate(texts) if role == "user"]
    if not questions:
        raise ConversationError("empty_statement", "has no user turn, so there is no problem in it")
    last = questions[-1]
    before, (_, statement), after = texts[:last], texts[last], texts[last + 1 :]
    if [role for role, _ in after] not in ([], ["assistant"]):
        order = ", ".join(role for role, _ in texts)
        raise ConversationError("turn_order", f"has the turns {order}; write system, user, assistant")
    system = "\n\n".join(text for role, text in before if role == "system" and text)
    num_earlier = sum(role != "system" for role, _ in before)
    return Conversation(statement, system or None, (after[0][1] if after else "") or None, num_earlier)


def _role(turn: Mapping[str, Any]) -> Role:
    name = next(turn[key] for key in _ROLE_KEYS if key in turn)
    role = ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise ConversationError("unknown_role", f"has a turn of {name!r}; the roles are system, user and assistant")
    return role


def _text(turn: Mapping[str, Any]) -> str:
    """The text of a turn; text parts are concatenated, as chat templates do."""
    content = next((turn[key] for key in _CONTENT_KEYS if turn.get(key) is not None), "")
    parts = content if isinstance(content, Sequence) and not isinstance(content, str | bytes) else [content]
    return "".join(map(_part, parts)).strip()


def _part(part: Any) -> str:
    if isinstance(part, Mapping) and part.get("type", "text") in ("text", "input_text", "output_text"):
        part = part.get("text")
    if isinstance(part, str):
        return part
    kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
    raise ConversationError("not_text", f"has a part that is no text ({str(kind)[:40]}); only text can be trained on")
