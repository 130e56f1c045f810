"""Stop tokens are all tokens that end a turn, wherever a model names them; with the templates of model families."""

import json
from pathlib import Path
from typing import Any

import pytest

from actors.chat_template import ChatTemplate
from actors.stop_tokens import completion_text, stop_token_ids
from broker.errors import UsageError
from tests.actors.chat_tokenizers import CHATML, CHATML_TOKENS, byte_tokenizer

GENERATION = "{% if add_generation_prompt %}"
LLAMA_3 = (
    "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}<|start_header_id|>{{ m.role }}"
    "<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
    + GENERATION + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)  # fmt: skip
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}" + GENERATION + "<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}"
    "{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    + GENERATION + "<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)  # fmt: skip
DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}<|User|>{{ m.content }}{% else %}<|Assistant|>"
    "{{ m.content.split('</think>')[-1] }}{{ eos_token }}{% endif %}{% endfor %}"
    + GENERATION + "<|Assistant|><think>\n{% endif %}"
)  # fmt: skip
NEXT_ROLE = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}" + GENERATION + "<|assistant|>{% endif %}"
)
BETWEEN = "{% for m in messages %}{{ m.role }}: {{ m.content }}{% if not loop.last %}</s>{% endif %}{% endfor %}"
NONE = "{% for m in messages %}### {{ m.role }}\n{{ m.content }}\n\n{% endfor %}"

HEADERS = ("<|begin|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|end_of_text|>")


@pytest.mark.parametrize(
    ("template", "tokens", "eos", "bos", "end", "stops"),
    [
        (CHATML, CHATML_TOKENS, "<|endoftext|>", None, "<|im_end|>", {"<|endoftext|>", "<|im_end|>"}),
        (LLAMA_3, HEADERS, "<|end_of_text|>", "<|begin|>", "<|eot_id|>", {"<|end_of_text|>", "<|eot_id|>"}),
        (GEMMA, ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<eos>", "<bos>", "<end_of_turn>",
         {"<eos>", "<end_of_turn>"}),
        (MISTRAL, ("<s>", "</s>", "[INST]", "[/INST]"), "</s>", "<s>", "</s>", {"</s>"}),
        (PHI, ("<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"), "<|endoftext|>", None, "<|end|>",
         {"<|endoftext|>", "<|end|>"}),
        (DEEPSEEK, ("<|bos|>", "<|eos|>", "<|User|>", "<|Assistant|>"), "<|eos|>", "<|bos|>", "<|eos|>", {"<|eos|>"}),
        (NEXT_ROLE, ("<|user|>", "<|assistant|>", "<|endoftext|>"), "<|endoftext|>", None, "<|user|>",
         {"<|user|>", "<|endoftext|>"}),
        (BETWEEN, ("<s>", "</s>"), None, "<s>", "</s>", {"</s>"}),
        (NONE, ("<s>", "</s>"), "</s>", "<s>", "</s>", {"</s>"}),
    ],
    ids=["chatml", "llama 3", "gemma", "mistral", "phi", "deepseek", "next role", "between turns", "none"],
)  # fmt: skip
def test_the_template_ends_a_turn(
    template: str, tokens: tuple[str, ...], eos: str | None, bos: str | None, end: str, stops: set[str], tmp_path: Path
) -> None:
    tokenizer = byte_tokenizer(template, tokens, eos=eos, bos=bos)
    assert set(tokenizer.convert_ids_to_tokens(stop_token_ids(tokenizer, tmp_path))) == stops
    assert tokenizer.convert_ids_to_tokens(ChatTemplate(tokenizer).end_id) == end


@pytest.mark.parametrize("special", [True, False])
def test_an_end_of_turn_need_not_be_marked_as_special(special: bool, tmp_path: Path) -> None:
    names = {"tokens": CHATML_TOKENS} if special else {"tokens": ("</s>",), "plain_tokens": CHATML_TOKENS}
    tokenizer = byte_tokenizer(CHATML, eos=None, **names)
    assert tokenizer.convert_ids_to_tokens(stop_token_ids(tokenizer, tmp_path)) == ["<|im_end|>"]


def write(folder: Path, name: str, value: Any) -> None:
    (folder / name).write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("config", "generation", "ids"),
    [
        ({"eos_token_id": 7}, {}, [7]),
        ({"eos_token_id": [7, 9]}, {"eos_token_id": None}, [7, 9]),
        ({"eos_token_id": None}, {"eos_token_id": [11, 7]}, [7, 11]),
        ({"text_config": {"eos_token_id": 5}}, {"eos_token_id": 3}, [3, 5]),
        ({"model_type": "x", "text_config": None}, {"do_sample": True}, []),
    ],
)
def test_ids_in_the_configuration_are_joined(config: Any, generation: Any, ids: list[int], tmp_path: Path) -> None:
    write(tmp_path, "config.json", config)
    write(tmp_path, "generation_config.json", generation)
    end = byte_tokenizer().convert_tokens_to_ids("<|im_end|>")
    assert stop_token_ids(byte_tokenizer(), tmp_path) == [*ids, end]
    without = byte_tokenizer(NONE, eos=None)
    if ids:
        assert stop_token_ids(without, tmp_path) == ids
    else:
        with pytest.raises(UsageError, match=r"no token ends a response: .*; set eos_token in tokenizer_config\.json"):
            stop_token_ids(without, tmp_path)


def test_a_damaged_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text("{")
    with pytest.raises(UsageError, match=r"generation_config\.json: not JSON .*; repair or download"):
        stop_token_ids(byte_tokenizer(), tmp_path)


def test_a_completion_keeps_every_token_but_the_stop_token() -> None:
    tokenizer = byte_tokenizer(tokens=[*CHATML_TOKENS, "[THINK]", "[/THINK]"])
    stops = [tokenizer.convert_tokens_to_ids("<|im_end|>")]
    for text in ("[THINK]hm[/THINK] 4 .", "4"):
        ids = tokenizer(text)["input_ids"]
        assert completion_text(tokenizer, [*ids, *stops], stops) == completion_text(tokenizer, ids, stops) == text
    assert completion_text(tokenizer, [], stops) == completion_text(tokenizer, stops, stops) == ""
