"""The prompts of a run's model: its chat template, stop tokens and thoughts, known before an engine starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.prompts import PromptBuilder
from actors.stop_tokens import stop_token_ids
from conf.schema import RunConfig
from deploy.run.model_source import load_tokenizer

OWN_SYSTEM_CHARS = 200
"""Longest system message of a template that is told."""


@dataclass(frozen=True)
class ModelPrompts:
    """What decides the prompts of one model under the settings of a run."""

    builder: PromptBuilder
    tokenizer: Any
    stop_ids: list[int]

    @classmethod
    def of(cls, config: RunConfig, model_path: Path) -> "ModelPrompts":
        """Raises UsageError if the model's template cannot be used, or no token ends a response."""
        tokenizer = load_tokenizer(model_path)
        stop_ids = stop_token_ids(tokenizer, model_path, config.prompts.template_kwargs)
        builder = PromptBuilder(tokenizer, config.guidance.instruction, config.prompts, stop_ids=stop_ids)
        return cls(builder, tokenizer, stop_ids)

    def facts(self) -> Iterator[str]:
        """What a reader should know of the prompts, each in a few words."""
        yield f"a response ends at {', '.join(map(self._token, self.stop_ids))}"
        yield f"a demonstration at {self._token(self.builder.template.end_id)}"
        template = self.builder.template
        if template.own_system is not None:
            yield f"without prompts.system the model's own system message: {template.own_system[:OWN_SYSTEM_CHARS]}"
        if template.prompt_thought is not None:
            yield template.prompt_thought
        if template.prompt_date is not None:
            yield template.prompt_date

    def _token(self, id: int) -> str:
        return f"{self.tokenizer.convert_ids_to_tokens(id)} ({id})"
