"""The base models of the built-in domain, made once (2 minutes; tiny-reader: 5) and kept in the cache folder.

All seeds of all runs use the same model: its recipe is fixed, and the folder is named by a hash of the recipe.
"""

import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from actors.problems.tiny.corpus import Example, Mix, corpus
from actors.prompts import Instruction, PromptBuilder, guided_message, unguided_message
from conf.schema import ModelSettings
from deploy.run.model_cache import locked, published
from deploy.view.screen import Screen

RECIPE_VERSION = 2
"""Part of the hash. Raise it when the code that carries out a recipe changes; numbers and prompts are hashed."""


@dataclass(frozen=True)
class Recipe:
    """All hyperparameters of a base model."""

    vocab_size: int = 1024
    hidden_size: int = 128
    num_layers: int = 3
    num_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int = 32
    mlp_size: int = 256
    rope_theta: float = 1000.0
    """For short sequences: with the usual 1e6 most rotary dimensions would hardly rotate."""
    max_position_embeddings: int = 4096
    num_examples: int = 20_000
    tokenizer_examples: int = 2_000
    mix: Mix = field(default_factory=Mix)
    tokens_per_step: int = 1024
    """Many small steps. With 2,048 tokens the model got the worst learned of the domain's forty step kinds right with
    probability 0.10 (15,000 examples) and 0.11 (20,000, another seed), where the corpus has 0.30; RL rarely repairs
    that."""
    learning_rate: float = 3e-3
    seed: int = 0

    @property
    def key(self) -> str:
        """Hash of the hyperparameters and of the first 200 prompts and responses."""
        examples = [_message(e) + e.response for e in itertools.islice(corpus(200, self.seed, self.mix), 200)]
        recipe = json.dumps([RECIPE_VERSION, asdict(self), examples], sort_keys=True)
        return hashlib.sha256(recipe.encode()).hexdigest()[:16]


RECIPES = {
    "builtin:tiny": Recipe(),
    "builtin:tiny-reader": Recipe(num_examples=40_000, tokens_per_step=2048, mix=Mix(terse=0.3)),
}
"""`model.path` -> recipe. The reader also follows partial solutions in the terse style. Copying digits from sentences
into formulas takes longer to learn: with 15,000 examples, half of them terse, it copies from neither style."""


def ensure_base_model(
    settings: ModelSettings, *, progress: bool | None = None, recipe: Recipe | None = None, threads: int = 2
) -> Path:
    """Folder of a built-in base model, which is made if the cache does not hold it yet.

    `progress` shows a bar on stderr; None shows one when stderr is a terminal. If several processes need the model at
    the same time, one makes it and the others wait.
    """
    recipe = recipe or RECIPES[settings.path]
    cache = Path(settings.cache_dir).expanduser()
    folder = cache / f"tiny-{recipe.key}"
    if folder.is_dir():
        return folder
    with locked(cache / f"{folder.name}.lock"):
        if not folder.is_dir():
            with _bar(progress) as advance:
                _make(recipe, folder, threads, advance)
    return folder


def _make(recipe: Recipe, folder: Path, threads: int, advance: Callable[[float], None]) -> None:
    """Corpus -> tokenizer -> pretraining -> `folder`, which appears only when it is complete."""
    import transformers

    from deploy.run.base_tokenizer import train_tokenizer
    from learner.pretrain import pretrain, split_into_steps

    examples = list(corpus(recipe.num_examples, recipe.seed, recipe.mix))
    tokenizer = train_tokenizer(map(_conversation, examples[: recipe.tokenizer_examples]), recipe.vocab_size)
    sequences, first_loss_index = _tokenize(examples, tokenizer)
    model = _new_model(recipe, tokenizer)
    num_steps = len(split_into_steps([len(s) for s in sequences], recipe.tokens_per_step, recipe.seed))
    pretrain(
        model,
        sequences,
        first_loss_index,
        tokens_per_step=recipe.tokens_per_step,
        learning_rate=recipe.learning_rate,
        threads=threads,
        seed=recipe.seed,
        on_step=lambda step, loss: advance(step / num_steps),
    )
    transformers.utils.logging.disable_progress_bar()
    with published(folder) as scratch:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        (scratch / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n")


def _tokenize(examples: list[Example], tokenizer: Any) -> tuple[list[NDArray[np.int32]], list[int]]:
    """(token ids of each example, int32[T], with EOS at the end; index of the first token of each response)."""
    names: tuple[Instruction, ...] = ("default", "modified")
    builders = {name: PromptBuilder(tokenizer, name) for name in names}
    prompts = tokenizer(
        [builders[e.instruction].text(e.problem, e.guided) for e in examples], add_special_tokens=False
    )["input_ids"]
    responses = tokenizer([e.response for e in examples], add_special_tokens=False)["input_ids"]
    sequences = [
        np.asarray([*prompt, *response, tokenizer.eos_token_id], dtype=np.int32)
        for prompt, response in zip(prompts, responses, strict=True)
    ]
    return sequences, [len(p) for p in prompts]


def _new_model(recipe: Recipe, tokenizer: Any) -> Any:
    """A freshly initialised Qwen3."""
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.mlp_size,
        num_hidden_layers=recipe.num_layers,
        num_attention_heads=recipe.num_heads,
        num_key_value_heads=recipe.num_kv_heads,
        head_dim=recipe.head_dim,
        max_position_embeddings=recipe.max_position_embeddings,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_theta},
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=True
    )
    return model


def _message(example: Example) -> str:
    """The user message of an example."""
    if example.guided:
        return guided_message(example.problem.statement, example.problem.guidance or "", example.instruction)
    return unguided_message(example.problem.statement)


def _conversation(example: Example) -> str:
    """The text of an example on which the tokenizer is trained."""
    return f"user\n{_message(example)}\nassistant\n{example.response}"


@contextmanager
def _bar(progress: bool | None) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr. Yields a function that takes the share that is done, 0 to 1."""
    shown = sys.stderr.isatty() if progress is None else progress
    percent = TextColumn("{task.percentage:>3.0f} %")
    columns = [TextColumn("{task.description}", markup=False), BarColumn(), percent, TimeRemainingColumn()]
    with Progress(*columns, console=Screen(stderr=True), disable=not shown, transient=True) as bar:
        task = bar.add_task("making the base model (once)", total=1.0)
        yield lambda done: bar.update(task, completed=done)
