"""Model folders of families of chat models: chat template, special tokens and stop tokens, on a tokenizer of bytes.

`python -m tests.actors.model_families` writes `templates/*.txt` anew: the prompt and the demonstration of every case as
the model reads them, with what the command line says of them. They are reviewed when they change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from broker.records import Problem
from conf.schema import PromptSettings, RunConfig
from deploy.run.model_prompts import ModelPrompts
from tests.actors.chat_tokenizers import byte_tokenizer

TEMPLATES = Path(__file__).parent / "templates"
PROBLEM = Problem(id="sum", statement="What is 2 + 2?", answer="4", bucket="hard", source="s")
SOLUTION = "<think>\nTwo and two.\n</think>\n\nIt is \\boxed{4}."


@dataclass(frozen=True)
class Family:
    """The files of one family of models."""

    template: str
    tokens: tuple[str, ...]
    """Special tokens."""
    eos: str
    """Of the tokenizer."""
    stops: tuple[str, ...]
    """eos_token_id of generation_config.json."""
    bos: str | None = None
    adds_bos: bool = False
    """The tokenizer begins every text with it."""
    plain_tokens: tuple[str, ...] = ()
    """Added tokens that are not special."""


THOUGHTS = ("<think>", "</think>")
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA_3 = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
)  # fmt: skip
DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>")  # noqa: RUF001

FAMILIES = {
    "qwen3": Family("qwen3", CHATML, "<|im_end|>", ("<|im_end|>", "<|endoftext|>"), plain_tokens=THOUGHTS),
    "llama3": Family(
        "llama3", LLAMA_3, "<|eot_id|>", ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"), LLAMA_3[0], adds_bos=True
    ),
    "gemma3": Family(
        "gemma3", ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<eos>", ("<eos>", "<end_of_turn>"), "<bos>",
        adds_bos=True,
    ),
    "smollm2": Family("smollm2", CHATML, "<|im_end|>", ("<|im_end|>",), "<|im_start|>"),
    "deepseek-r1-distill": Family(
        "deepseek-r1-distill", DEEPSEEK, DEEPSEEK[1], DEEPSEEK[1:2], DEEPSEEK[0], adds_bos=True, plain_tokens=THOUGHTS
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A family under settings of the section `prompts`."""

    family: str
    system: str | None = None
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> RunConfig:
        return RunConfig(prompts=PromptSettings(system=self.system, template_kwargs=dict(self.template_kwargs)))


BRIEF = "Answer briefly."
CASES = {
    "qwen3": Case("qwen3"),
    "qwen3-system": Case("qwen3", BRIEF),
    "qwen3-no-thinking": Case("qwen3", template_kwargs={"enable_thinking": False}),
    "llama3": Case("llama3", template_kwargs={"date_string": "26 Jul 2024"}),
    "llama3-system": Case("llama3", BRIEF, {"date_string": "26 Jul 2024"}),
    "gemma3": Case("gemma3"),
    "gemma3-system": Case("gemma3", BRIEF),
    "smollm2": Case("smollm2"),
    "smollm2-system": Case("smollm2", BRIEF),
    "deepseek-r1-distill": Case("deepseek-r1-distill"),
    "deepseek-r1-distill-system": Case("deepseek-r1-distill", BRIEF),
}


def save_family(name: str, folder: Path) -> Path:
    """The small files of a model of the family."""
    family = FAMILIES[name]
    tokenizer = byte_tokenizer(
        (TEMPLATES / f"{family.template}.jinja").read_text(),
        family.tokens,
        eos=family.eos,
        bos=family.bos,
        plain_tokens=family.plain_tokens,
        adds=family.bos if family.adds_bos else None,
    )
    tokenizer.save_pretrained(folder)
    stops = tokenizer.convert_tokens_to_ids(list(family.stops))
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": stops[0]}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    return folder


def rendered(case: Case, folder: Path) -> str:
    """What the model of the case reads: an unguided prompt, a demonstration, and the facts that are told of both."""
    prompts = ModelPrompts.of(case.config, folder)
    prompt_ids, response_ids = prompts.builder.ids(PROBLEM, guided=False), prompts.builder.response_ids(SOLUTION)
    parts = {
        "prompt": prompts.tokenizer.decode(prompt_ids),
        "demonstration": prompts.tokenizer.decode(response_ids),
        "told": "\n".join(prompts.facts()),
    }
    return "".join(f"--- {name} ---\n{text}\n" for name, text in parts.items())


def main() -> None:
    """Write every expected file."""
    with TemporaryDirectory() as root:
        for name, case in CASES.items():
            folder = save_family(case.family, Path(root) / name)
            (TEMPLATES / f"{name}.txt").write_text(rendered(case, folder))


if __name__ == "__main__":
    main()
