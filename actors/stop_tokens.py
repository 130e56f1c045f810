"""The tokens that end a turn of the assistant: where sampling stops, and how a demonstration ends.

A model names them in up to four places that need not agree: eos_token_id of config.json and of generation_config.json
(a number or a list), eos_token of the tokenizer, and the token that the chat template writes after an assistant's text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.special_tokens import control_tokens
from actors.template_rendering import ANSWER_MARKER, MARKER, Renderer, TemplateFault, Turn
from broker.errors import UsageError

CONFIG_FILES = ("config.json", "generation_config.json")


@dataclass(frozen=True)
class TurnEnd:
    """How the chat template ends a turn of the assistant."""

    gap: str
    """The text between the assistant's text and the token, such as a line end; usually empty."""
    token_id: int
    token: str


def stop_token_ids(tokenizer: Any, model_path: Path, template_kwargs: Mapping[str, Any] | None = None) -> list[int]:
    """The ids that end a completion, ascending. Raises UsageError when the model names none."""
    ids = set(_named_in(model_path))
    if tokenizer.eos_token_id is not None:
        ids.add(tokenizer.eos_token_id)
    try:
        end = turn_end(tokenizer, Renderer(tokenizer, template_kwargs))
    except TemplateFault:  # `ChatTemplate` refuses the model with this fault
        end = None
    if end is not None:
        ids.add(end.token_id)
    if not ids:
        raise UsageError(
            f"{model_path}: no token ends a response: neither config.json, generation_config.json nor the tokenizer "
            "names an end-of-sequence token, and the chat template writes none after an assistant's turn; set "
            "eos_token in tokenizer_config.json"
        )
    return sorted(ids)


def turn_end(tokenizer: Any, renderer: Renderer) -> TurnEnd | None:
    """The first control token that the template writes after an assistant's text; None if it writes none.

    Some templates end a turn only where another follows it, so this is tried second.
    """
    controls = control_tokens(tokenizer)
    bos = getattr(tokenizer, "bos_token_id", None)
    if bos is not None and bos != tokenizer.eos_token_id:
        controls.pop(bos, None)  # it begins the next turn
    turns: list[Turn] = [("user", MARKER), ("assistant", ANSWER_MARKER)]
    for conversation in (turns, [*turns, ("user", MARKER)]):
        try:
            _, found, tail = renderer.render(conversation, for_response=False).rpartition(ANSWER_MARKER)
        except TemplateFault:
            continue
        tail = tail.partition(MARKER)[0]
        for id in tokenizer(tail, add_special_tokens=False)["input_ids"]:
            if found and id in controls:
                return TurnEnd(tail[: max(tail.find(controls[id]), 0)], id, controls[id])
    return None


def without_stop(token_ids: Sequence[int], stop_ids: Sequence[int]) -> list[int]:
    """The token ids of a completion without the stop token at its end."""
    return list(token_ids[:-1] if token_ids and token_ids[-1] in stop_ids else token_ids)


def completion_text(tokenizer: Any, token_ids: Sequence[int], stop_ids: Sequence[int]) -> str:
    """The text of sampled tokens without the stop token.

    All other special tokens are kept: markers of thoughts are special tokens of some models, and the verifier needs
    them to find the answer.
    """
    kept = without_stop(token_ids, stop_ids)
    return str(tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _named_in(model_path: Path) -> list[int]:
    """The end-of-sequence ids in the configuration files of a model; those of its text model if it has several."""
    ids: list[int | None] = []
    for name in CONFIG_FILES:
        try:
            config = json.loads((model_path / name).read_bytes())
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise UsageError(f"{model_path / name}: not JSON ({error}); repair or download the file again") from error
        for part in (config, config.get("text_config") or {}):
            eos = part.get("eos_token_id")
            ids += eos if isinstance(eos, list) else [eos]
    return [id for id in ids if id is not None]
