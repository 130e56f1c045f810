"""Byte-level tokenizers with the chat templates of model families, made in a few milliseconds."""

from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
OPENED = CHATML.replace("assistant\n", "assistant\n<think>\n")
SWITCHED = CHATML.replace(
    "assistant\n",
    "assistant\n{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
)
"""Writes an empty thought for enable_thinking=false."""


def byte_tokenizer(
    template: Any = CHATML,
    tokens: Sequence[str] = CHATML_TOKENS,
    *,
    eos: str | None = "<|im_end|>",
    bos: str | None = None,
    plain_tokens: Sequence[str] = (),
    adds: str | None = None,
) -> Any:
    """A tokenizer of single bytes, then `tokens` (special) and `plain_tokens` (added, not special).

    `adds`: the token that it puts before every text by itself.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({letter: id for id, letter in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])
    inner.add_tokens([AddedToken(token, special=False, normalized=False) for token in plain_tokens])
    if adds is not None:
        inner.post_processor = TemplateProcessing(single=f"{adds} $A", special_tokens=[(adds, inner.token_to_id(adds))])
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=eos, bos_token=bos, chat_template=template)
