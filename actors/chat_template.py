"""The chat template of a model as prompts and responses need it: the text and the token ids of both.

The template is tried once with a marker instead of a message. What it writes around the marker is the frame of every
prompt; a prompt is accepted only if it holds its message unchanged, and if no text of the message became a control
token. Everything a template can do wrong is thereby found before anything is sampled.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from actors.special_tokens import added_texts, control_tokens
from actors.stop_tokens import TurnEnd, turn_end
from actors.template_rendering import MARKER, Renderer, TemplateFault, Turn
from actors.thought_markers import fitted_to_prompt, opened_pair, skipped_pair, thought_pairs
from actors.verification.thoughts import Thoughts
from broker.errors import UsageError
from conf.schema import PromptSettings

PromptFaultReason = Literal["control_token", "changed_by_template", "no_system_turn"]


class PromptFault(UsageError):
    """The template or the tokenizer does not carry a message to the model as it is."""

    def __init__(self, reason: PromptFaultReason, message: str) -> None:
        super().__init__(reason, message)
        self.reason: PromptFaultReason = reason

    def __str__(self) -> str:
        return str(self.args[1])


@dataclass(frozen=True)
class Frame:
    """What the template writes around one user message."""

    before: str
    after: str
    controls: Counter[int]
    """Control tokens of the frame: id -> how often."""


class ChatTemplate:
    """Prompts and responses in the chat template of one tokenizer.

    `stop_ids`: the ids that end a completion (`actors.stop_tokens`), for a tokenizer and a template that name none.
    Raises TemplateFault if the template cannot be used, PromptFault if it has no place for `settings.system`.
    """

    def __init__(self, tokenizer: Any, settings: PromptSettings | None = None, *, stop_ids: Sequence[int] = ()) -> None:
        settings = settings or PromptSettings()
        self._tokenizer = tokenizer
        self._system = settings.system
        self._stop_ids = stop_ids
        self._controls = control_tokens(tokenizer)
        self._renderer = Renderer(tokenizer, settings.template_kwargs)
        self._frames: dict[str | None, Frame] = {}
        self._renderer.check_ids()
        self.frame(None)

    # Prompts

    def text(self, message: str, system: str | None = None) -> str:
        """The prompt of one user message, without white space at its ends. `system` replaces `prompts.system`.

        Raises PromptFault if the template changes the message or has no system turn.
        """
        frame, message = self.frame(system), message.strip()
        text = self._render(message, system)
        if text != f"{frame.before}{message}{frame.after}" and message not in text:
            raise PromptFault(
                "changed_by_template",
                "the chat template of the model changes the text of the user message; write the text in a form that "
                "the template keeps, or mend the template",
            )
        return text

    def ids(self, text: str, system: str | None = None) -> list[int]:
        """int[P]: the token ids of a prompt made by `text`, with one token that begins a text if the tokenizer has one.

        Raises PromptFault if text of the message became a control token.
        """
        ids = self._prompt_ids(text)
        if more := self._count_controls(ids) - self.frame(system).controls:
            raise self._control_fault(self._controls[next(iter(more))])
        return ids

    def frame(self, system: str | None) -> Frame:
        """The frame of all prompts with this system message (None: `prompts.system`)."""
        if system not in self._frames:
            before, _, after = self._marked(system).rpartition(MARKER)
            controls = self._count_controls(self._prompt_ids(f"{before}{MARKER}{after}"))
            self._frames[system] = Frame(before, after, controls)
        return self._frames[system]

    # Responses

    def response_ids(self, response: str) -> list[int]:
        """int[T]: token ids of a response from another source, with the token that ends the assistant's turn.

        A thought fits the one the prompt opens, and an end that the response already has is not doubled. Raises
        PromptFault if its text holds another control token, UsageError if the model has no token to end a turn.
        """
        body = self._without_end(fitted_to_prompt(response, self.frame(None).after, self.thoughts.pairs))
        end_id = self.end_id
        gap = self._turn_end.gap if self._turn_end else ""
        ids = self._encode(body if body.endswith(gap) else body + gap)
        markers = {marker for pair in self.thoughts.pairs for marker in pair}
        for id in ids:
            if id in self._controls and self._controls[id] not in markers:
                raise self._control_fault(self._controls[id])
        return [*ids, end_id]

    @cached_property
    def end_id(self) -> int:
        """The token that ends a turn of the assistant: the template's, else the tokenizer's, else the model's."""
        if self._turn_end is not None:
            return self._turn_end.token_id
        for id in (self._tokenizer.eos_token_id, *self._stop_ids):
            if id is not None:
                return int(id)
        raise UsageError(
            "no token ends a response: the tokenizer has no eos_token, and the chat template writes no token after an "
            "assistant's turn; set eos_token in tokenizer_config.json"
        )

    @cached_property
    def thoughts(self) -> Thoughts:
        """How the model marks its thoughts, and whether its prompts open one."""
        end = self.frame(None).after
        pairs = thought_pairs(added_texts(self._tokenizer), end)
        return Thoughts(pairs=pairs, opened=opened_pair(end, pairs) is not None)

    @cached_property
    def prompt_thought(self) -> str | None:
        """What the end of every prompt does with the model's thought, in words; None if it writes no marker."""
        end, pairs = self.frame(None).after, self.thoughts.pairs
        if opened := opened_pair(end, pairs):
            return f"prompts open a thought ({opened[0]}), which {opened[1]} closes"
        if skipped := skipped_pair(end, pairs):
            return f"prompts skip the thought ({''.join(skipped)})"
        return None

    @cached_property
    def own_system(self) -> str | None:
        """The system message that the template writes because `prompts.system` gives none; None if it writes none."""
        return self._renderer.own_system() if self._system is None else None

    @cached_property
    def prompt_date(self) -> str | None:
        """In words, that prompts hold the date of the day on which they are rendered; None if they do not."""
        if not self._renderer.writes_the_date():
            return None
        fixed = "; prompts.template_kwargs.date_string fixes it" if self._renderer.uses("date_string") else ""
        return f"prompts hold the date of the day{fixed}"

    def check_quotable(self, text: str, name: str = "the text") -> None:
        """Raises PromptFault if a message that quotes the text, or a part of it, could hold a control token.

        An end of turn at the very end of the text is no fault: no part that is quoted reaches it.
        """
        text = self._without_end(text)
        for token in self._controls.values():
            if token in text:
                raise self._control_fault(token, name)

    # Parts

    def _render(self, message: str, system: str | None) -> str:
        system = self._system if system is None else system
        turns: list[Turn] = [] if system is None else [("system", system)]
        return self._renderer.render([*turns, ("user", message)], for_response=True)

    def _marked(self, system: str | None) -> str:
        """The prompt of the marker. Raises PromptFault if the template refuses or loses the system message."""
        wanted = self._system if system is None else system
        source = "prompts.system" if system is None else "the system message of the row"
        if wanted is not None:
            self.check_quotable(wanted, source)
        reason = "it leaves the system message out"
        try:
            text = self._render(MARKER, system)
        except TemplateFault as fault:
            if wanted is None:
                raise
            reason = str(fault)
        else:
            if MARKER in text and (wanted is None or wanted.strip() in text):
                return text
        raise PromptFault(
            "no_system_turn",
            f"the chat template of the model has no place for {source}: {reason}; remove the system message, or write "
            "it into the statements",
        )

    def _prompt_ids(self, text: str) -> list[int]:
        """The ids of a rendered prompt. Most templates write the token that begins a text; it is there once."""
        ids, first = self._encode(text), self._first_id
        while first is not None and ids[:2] == [first, first]:
            del ids[0]
        return ids if first is None or ids[:1] == [first] else [first, *ids]

    @cached_property
    def _first_id(self) -> int | None:
        """The token with which this tokenizer begins every text by itself, such as <s>; None for most tokenizers."""
        if getattr(self._tokenizer, "bos_token_id", None) is None:
            return None
        plain, whole = self._encode(MARKER), list(self._tokenizer(MARKER)["input_ids"])
        return whole[0] if whole[1 : len(plain) + 1] == plain and whole[0] in self._controls else None

    @cached_property
    def _turn_end(self) -> TurnEnd | None:
        return turn_end(self._tokenizer, self._renderer)

    def _without_end(self, response: str) -> str:
        """The response without tokens that end a turn at its end."""
        ends = {self.end_id, self._tokenizer.eos_token_id, *self._stop_ids}
        texts = tuple(self._controls[id] for id in ends if self._controls.get(id))
        while texts and (stripped := response.rstrip()).endswith(texts):
            response = next(stripped.removesuffix(text) for text in texts if stripped.endswith(text))
        return response

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _count_controls(self, ids: Sequence[int]) -> Counter[int]:
        return Counter(id for id in ids if id in self._controls)

    def _control_fault(self, token: str, name: str = "the text") -> PromptFault:
        if token == getattr(self._tokenizer, "unk_token", None):
            return PromptFault(
                "control_token", "the tokenizer of the model has no token for a character of the text; remove it"
            )
        return PromptFault(
            "control_token",
            f"{name} holds {token}, which the tokenizer of the model reads as a control token; write it "
            "in another way, or remove it",
        )
