"""The tokenizer of the built-in base model: byte-level BPE in which every step of a solution takes six tokens.

Digits and step symbols are split off one by one, so `$a=K(6)=4$` is always `a=` `K(` `6` `)=` `4` `$`-newline-`$` and
steps align. Prose is not split at spaces: the fixed sentences of statements and instructions become few, long tokens.
"""

from collections.abc import Iterable
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = [END_OF_TEXT, TURN_START, TURN_END]

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)

PIECES = "|".join(
    [
        r"\$\n\$",  # end of one step, start of the next
        r"\)=",
        r"\)\$, \$",  # between two definitions of a chain
        r"(?<![A-Za-z ])[a-z][=^]",  # a variable that is assigned
        r"(?<==)[FGHK]\(",
        r"(?<=\()[a-z](?=\))",  # a variable an operation is applied to
        r"\\boxed\{",
        r"\}\$",
        r" ?\b(?:short|long)\b",
        r"[0-9$+]",
    ]
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train BPE of exactly `vocab_size` tokens on whole conversations. Raises ValueError when it gives fewer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"the corpus gave {tokenizer.get_vocab_size()} tokens instead of {vocab_size}")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
