"""Renders conversations with a model's chat template, whichever form of messages the template takes.

A template is a program of the model's author: it may be missing, have a name that must be chosen, take the content of a
message as text or only as a list of parts, refuse a role, or ignore what it is given. `Renderer` finds out with a
marker instead of a message, before anything is sampled.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from broker.errors import UsageError

MARKER = "marker7351"
"""Stands for a user message; no template contains it or changes it."""
ANSWER_MARKER = "marker8462"
"""Stands for the content of an assistant turn."""
DATE_MARKER = "marker9573"
"""Stands for the date of the day."""

Turn = tuple[str, str]
"""(role, content)"""


class TemplateFault(UsageError):
    """The chat template of the model cannot be used."""


class Renderer:
    """The chat template of one tokenizer, with the variables of `prompts.template_kwargs`.

    Raises TemplateFault if there is no template, or one that loses the user message.
    """

    def __init__(self, tokenizer: Any, template_kwargs: Mapping[str, Any] | None = None) -> None:
        self._tokenizer = tokenizer
        self._kwargs = dict(template_kwargs or {})
        _check_exists(tokenizer, self._kwargs)
        _check_variables(tokenizer, self._kwargs)
        self._in_parts = False
        self._in_parts = self._takes_parts_only()

    def render(self, turns: Sequence[Turn], *, for_response: bool) -> str:
        """The text of a conversation; `for_response`: up to where the assistant's next turn begins.

        Raises TemplateFault with the template's own message.
        """
        try:
            text: str = self._tokenizer.apply_chat_template(
                self._messages(turns), tokenize=False, add_generation_prompt=for_response, **self._kwargs
            )
        except Exception as error:  # a template raises what it likes
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise TemplateFault(
                f"the chat template of the model refuses the turns {', '.join(role for role, _ in turns)}: {reason}"
            ) from error
        return text

    def check_ids(self) -> None:
        """Raises TemplateFault if the tokenizer does not read the template's text as the template's own tokens.

        Such a tokenizer takes control tokens in a text for letters, and every prompt would be one the model never saw.
        """
        if not getattr(self._tokenizer, "chat_template", None):
            return
        turns: list[Turn] = [("user", MARKER)]
        own = self._tokenizer.apply_chat_template(
            self._messages(turns), tokenize=True, add_generation_prompt=True, return_dict=False, **self._kwargs
        )
        read = self._tokenizer(self.render(turns, for_response=True), add_special_tokens=False)["input_ids"]
        if list(own) != list(read):
            raise TemplateFault(
                f"the tokenizer of the model ({type(self._tokenizer).__name__}) reads the text of its chat template as "
                f"{len(read)} tokens instead of the template's {len(own)}; take a version of the model with a "
                "tokenizer.json"
            )

    def own_system(self) -> str | None:
        """The system message that the template writes where a conversation has none; None if it writes none."""
        try:
            given = self.render([("system", ANSWER_MARKER), ("user", MARKER)], for_response=True)
        except TemplateFault:
            return None
        before, _, rest = given.partition(ANSWER_MARKER)
        between = rest.partition(MARKER)[0]
        start = self.render([("user", MARKER)], for_response=True).partition(MARKER)[0]
        if not start.startswith(before) or not start.removeprefix(before).endswith(between):
            return None
        return start.removeprefix(before).removesuffix(between).strip() or None

    def writes_the_date(self) -> bool:
        """Whether prompts depend on the day on which they are rendered."""
        if "strftime_now" not in _source(self._tokenizer, self._kwargs):
            return False
        turns = self._messages([("user", MARKER)])
        text = self._tokenizer.apply_chat_template(
            turns, tokenize=False, **{"strftime_now": lambda form: DATE_MARKER, **self._kwargs}
        )
        return DATE_MARKER in text

    def uses(self, variable: str) -> bool:
        """Whether the template mentions a variable of this name."""
        return _mentions(_source(self._tokenizer, self._kwargs), variable)

    def _messages(self, turns: Sequence[Turn]) -> list[dict[str, Any]]:
        return [
            {"role": role, "content": [{"type": "text", "text": content}] if self._in_parts else content}
            for role, content in turns
        ]

    def _takes_parts_only(self) -> bool:
        """Whether a message must be a list of parts: such templates lose or refuse a text."""
        turns, faults = [("user", MARKER)], []
        for self._in_parts in (False, True):
            try:
                if MARKER in self.render(turns, for_response=True):
                    return self._in_parts
                faults.append("its text does not contain the user message")
            except TemplateFault as fault:
                faults.append(str(fault))
        raise TemplateFault(
            f"the chat template of the model cannot render one user message: {faults[0]}; mend the template in the "
            "model's folder (chat_template.jinja or tokenizer_config.json), or take the chat version of the model"
        )


def _check_exists(tokenizer: Any, kwargs: Mapping[str, Any]) -> None:
    """Raises TemplateFault if no template is there, or none of several is the default."""
    template = getattr(tokenizer, "chat_template", "")
    if "chat_template" in kwargs:
        _check_chosen(template, kwargs["chat_template"])
    elif template is None:
        raise TemplateFault(
            "the tokenizer of the model has no chat template; take the chat version of the model, or put its template "
            "into the model's folder as chat_template.jinja"
        )
    elif isinstance(template, Mapping) and "default" not in template:
        raise TemplateFault(
            f"the model has the chat templates {', '.join(sorted(template))} and no default one; set "
            f"prompts.template_kwargs.chat_template={min(template, default='NAME')}, or another of them"
        )


def _check_chosen(template: Any, chosen: object) -> None:
    """Raises TemplateFault for a name that none of the templates has; a text with Jinja code is a template itself."""
    named = template if isinstance(template, Mapping) else {}
    if not isinstance(chosen, str) or (chosen not in named and "{" not in chosen):
        raise TemplateFault(
            f"prompts.template_kwargs.chat_template={str(chosen)[:80]} is no template of the model, which has "
            f"{', '.join(sorted(named)) or 'one without a name'}; name one of them, or remove the setting"
        )


def _check_variables(tokenizer: Any, kwargs: Mapping[str, Any]) -> None:
    """Raises TemplateFault for a variable that the template does not mention: it would have no effect."""
    source = _source(tokenizer, kwargs)
    for name in kwargs:
        if source and name != "chat_template" and not _mentions(source, name):
            raise TemplateFault(
                f"prompts.template_kwargs.{name}={json.dumps(kwargs[name])[:80]} has no effect: the chat template "
                "of the model does not use a variable of that name; remove it, or correct its name"
            )


def _source(tokenizer: Any, kwargs: Mapping[str, Any]) -> str:
    """The text of the template in use; empty for a tokenizer that has none and renders by itself."""
    template = getattr(tokenizer, "chat_template", None)
    chosen = kwargs.get("chat_template", "default")
    source = template.get(chosen, chosen) if isinstance(template, Mapping) else kwargs.get("chat_template", template)
    return source if isinstance(source, str) else ""


def _mentions(source: str, variable: str) -> bool:
    return re.search(rf"\b{re.escape(variable)}\b", source) is not None
