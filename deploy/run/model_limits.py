"""What a model can hold, compared with the settings before an engine or a learner starts.

Only config.json, tokenizer.json and the chat template are read; no library of models is loaded. A value that the files
do not give is left to the engine and to the learner's check of the model.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.errors import UsageError
from conf.schema import RunConfig, Sampling

POSITIONS = (
    "model_max_length", "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length",
    "max_seq_length",
)  # fmt: skip
"""Names of the number of positions in the configurations of architectures; the first that is given counts."""
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
HIDDEN = ("hidden_size", "n_embd", "d_model")
CPU_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)
"""Sizes of an attention head that vLLM's kernels for CPUs have; a test compares them with the installed package."""
UNSCALED = ("default", "su", "longrope", "llama3", "yarn", "mrope", "proportional")
"""Types of rotary positions whose configuration already states the extended number of positions."""
LENGTH_DEPENDENT = ("longrope", "su", "dynamic")
"""Types whose frequencies change beyond the original number of positions: the engine decides once by its limit, the
learner by the length of a row."""


@dataclass(frozen=True)
class ModelFiles:
    """The parsed files of a model's folder."""

    name: str
    """`model.path`"""
    config: dict[str, Any]
    """config.json; of a model with several parts, that of the language model over the rest."""
    tokenizer: dict[str, Any]
    """tokenizer.json; empty when the folder has none."""
    template_and_ends: str
    """The text of the chat templates, and the names of the tokens that begin and end texts."""

    def first(self, names: tuple[str, ...]) -> Any:
        """The value of the first of these names that config.json gives; None without one."""
        return next((self.config[name] for name in names if self.config.get(name) is not None), None)


@dataclass(frozen=True)
class Length:
    """A longest sequence, and the settings that it follows from."""

    setting: str
    tokens: int
    prompt_setting: str = ""
    prompt_tokens: int = 0

    @property
    def total(self) -> int:
        return self.prompt_tokens + self.tokens

    def beyond(self, limit: int) -> str:
        """The settings with their values, and what to do under a limit of `limit` tokens."""
        values, largest = f"{self.setting}={self.tokens}", limit - self.prompt_tokens
        if self.prompt_setting:
            values = f"{self.prompt_setting}={self.prompt_tokens} + {values} = {self.total}"
        lower = f"{self.setting} to {largest}" if largest > 0 else self.prompt_setting
        return f"{values}; lower {lower}, or take a model with a longer context"


Lengths = Sequence[Length]


def require_fit(config: RunConfig, model_path: Path, samplings: Sequence[Sampling]) -> None:
    """Raises UsageError, which names value, setting and remedy, when the model cannot do what the settings ask.

    `samplings`: the ways in which the engines of the command sample.
    """
    files = read_model_files(model_path, config.model.path)
    lengths = _longest_sequences(config, samplings)
    for rule in RULES:
        for reason in rule(config, files, lengths):
            raise UsageError(f"model.path={files.name}: {reason}")


def read_model_files(folder: Path, name: str) -> ModelFiles:
    """Raises UsageError when config.json is missing or damaged. `name`: `model.path`, for messages."""
    if not (folder / "config.json").is_file():
        raise UsageError(f"model.path={name}: no config.json in {folder}; save the model with save_pretrained")
    config = _read(folder / "config.json")
    parts = [config.get(part) for part in ("text_config", "llm_config", "language_config")]
    texts = [_read(folder / "tokenizer_config.json"), _read(folder / "special_tokens_map.json")]
    templates = [path.read_text(errors="replace") for path in sorted(folder.glob("**/*.jinja"))]
    used = [text.get(key) for text in texts for key in ("chat_template", "bos_token", "eos_token")]
    return ModelFiles(
        name=name,
        config=config | next((part for part in parts if isinstance(part, dict)), {}),
        tokenizer=_read(folder / "tokenizer.json"),
        template_and_ends="\n".join([json.dumps(used, ensure_ascii=False), *templates]),
    )


def _read(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty without the file."""
    try:
        value = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise UsageError(f"{file} is damaged: {error}; fetch or save the model again") from error
    return value if isinstance(value, dict) else {}


def is_a_decoder_with_plain_weights(config: RunConfig, files: ModelFiles, lengths: Lengths) -> Iterator[str]:
    if files.config.get("is_encoder_decoder"):
        yield "an encoder-decoder cannot be trained here; take a causal language model"
    if quantization := files.config.get("quantization_config"):
        method = quantization.get("quant_method", "unknown") if isinstance(quantization, dict) else "unknown"
        yield (
            f"its weights are quantised (quantization_config of config.json: {method}) and cannot be trained; take the "
            "model they were made from, or save it dequantised in model.dtype"
        )


def positions_hold_the_longest_sequence(config: RunConfig, files: ModelFiles, lengths: Lengths) -> Iterator[str]:
    name = next((name for name in POSITIONS if isinstance(files.config.get(name), int)), None)
    if name is None:
        return
    limit = round(files.config[name] * _rope_factor(files.config))
    scaled = "" if limit == files.config[name] else f", {limit} with its rotary scaling"
    for length in lengths:
        if length.total > limit:
            yield (
                f"its sequences end at {name}={files.config[name]} tokens (config.json{scaled}), and "
                f"{length.beyond(limit)}"
            )


def rotary_positions_are_the_same_on_both_sides(
    config: RunConfig, files: ModelFiles, lengths: Lengths
) -> Iterator[str]:
    for rope in _ropes(files.config):
        kind = _rope_type(rope)
        original = rope.get("original_max_position_embeddings") or files.first(
            ("original_max_position_embeddings", "max_position_embeddings")
        )
        if kind not in LENGTH_DEPENDENT or not isinstance(original, int):
            continue
        for length in lengths:
            if length.total > original:
                yield (
                    f"its rotary positions (type {kind}) change beyond {original} tokens, for the engine by its limit "
                    f"and for the learner by the length of each row, and {length.beyond(original)}"
                )


def heads_fit_the_engine(config: RunConfig, files: ModelFiles, lengths: Lengths) -> Iterator[str]:
    heads, hidden = files.first(HEADS), files.first(HIDDEN)
    if not isinstance(heads, int) or heads < 1:
        return
    if heads % (parallel := config.actors.tensor_parallel):
        valid = ", ".join(str(n) for n in range(1, parallel) if heads % n == 0)
        yield (
            f"its {heads} attention heads cannot be divided among actors.tensor_parallel={parallel} GPUs; set it to "
            f"one of {valid}"
        )
    size = files.config.get("head_dim") or (hidden // heads if isinstance(hidden, int) else None)
    latent = files.config.get("kv_lora_rank") is not None
    if config.deploy.device == "cpu" and isinstance(size, int) and not latent and size not in CPU_HEAD_SIZES:
        yield (
            f"its attention heads have {size} dimensions, and vLLM on a CPU (deploy.device=cpu) has kernels for "
            f"{', '.join(map(str, CPU_HEAD_SIZES))}; use deploy.device=cuda or another model"
        )


def every_token_has_an_embedding(config: RunConfig, files: ModelFiles, lengths: Lengths) -> Iterator[str]:
    """A padded vocabulary, with more rows than tokens, is no fault: engine and learner both sample and train over all
    rows, and a token without text decodes to nothing. A special token beyond the rows is one only where the chat
    template or the beginning or end of a text uses it; elsewhere no prompt contains it."""
    rows = files.first(("vocab_size", "n_vocab"))
    vocabulary = files.tokenizer.get("model", {}).get("vocab", {})
    if not isinstance(rows, int) or not vocabulary:
        return
    plain = max(vocabulary.values()) if isinstance(vocabulary, dict) else len(vocabulary) - 1
    added = [
        token
        for token in files.tokenizer.get("added_tokens", ())
        if not token.get("special") or token["content"] in files.template_and_ends
    ]
    largest = max([plain, *(token["id"] for token in added)])
    if largest >= rows:
        yield (
            f"its tokenizer has token ids up to {largest}, but the model embeds only vocab_size={rows} (config.json); "
            "take the tokenizer of this model, or resize the embeddings of the model and save it"
        )


Rule = Callable[[RunConfig, ModelFiles, Lengths], Iterator[str]]
RULES: tuple[Rule, ...] = (
    is_a_decoder_with_plain_weights,
    positions_hold_the_longest_sequence,
    rotary_positions_are_the_same_on_both_sides,
    heads_fit_the_engine,
    every_token_has_an_embedding,
)
"""Each yields what does not fit, with its remedy."""


def _longest_sequences(config: RunConfig, samplings: Sequence[Sampling]) -> list[Length]:
    """The longest sequence of the engines, and that of the demonstrations."""
    prompt, completion = config.actors.max_prompt_tokens, max(s.max_completion_tokens for s in samplings)
    budgets = {
        "actors.max_completion_tokens": config.actors.max_completion_tokens,
        "mining.max_completion_tokens": config.mining.max_completion_tokens,
        "evaluation.max_completion_tokens": config.evaluation.max_completion_tokens,
    }
    setting = next(name for name, budget in budgets.items() if budget == completion)
    lengths = [Length(setting, completion, "actors.max_prompt_tokens", prompt)]
    if config.sft.enabled:
        lengths.append(Length("sft.max_tokens", config.sft.max_tokens))
    return lengths


def _ropes(config: dict[str, Any]) -> list[dict[str, Any]]:
    """The rotary settings of the model, of every type of layer where they differ."""
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(given, dict):
        return []
    nested = [value for value in given.values() if isinstance(value, dict)]
    return nested or [given]


def _rope_type(rope: dict[str, Any]) -> str:
    return str(rope.get("rope_type") or rope.get("type") or "default")


def _rope_factor(config: dict[str, Any]) -> float:
    """How many times more positions than stated the model has by its rotary scaling, as vLLM derives it."""
    if "gemma3" in str(config.get("model_type", "")):
        return 1.0  # its number of positions is that after scaling
    factors = [rope.get("factor") for rope in _ropes(config) if _rope_type(rope) not in UNSCALED]
    return max([float(factor) for factor in factors if isinstance(factor, int | float)], default=1.0)
