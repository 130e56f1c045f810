"""The built-in base model: aligned steps in its tokenizer, a complete folder, made once and cached."""

import json
import threading

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.problems.catalog import load_problems
from actors.problems.tiny.corpus import Mix, corpus
from actors.prompts import PromptBuilder
from broker.errors import UsageError
from conf.rules.problems import MODELS
from conf.schema import ModelSettings, ProblemSettings
from deploy.run import base_model, smollm2
from deploy.run.base_model import RECIPES, Recipe, ensure_base_model

SMALL = Recipe(num_examples=300, tokenizer_examples=300, hidden_size=32, num_layers=1, mlp_size=32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    settings = ModelSettings(cache_dir=str(tmp_path_factory.mktemp("cache")))
    return ensure_base_model(settings, progress=False, recipe=SMALL, threads=1)


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def pieces(tokenizer, text):
    return [tokenizer.decode([i]) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]


def test_a_step_of_a_solution_is_always_six_tokens(tokenizer):
    assert pieces(tokenizer, "$a=K(6)=4$\n$b=G(4)=0$\n$c=") == [
        "$", "a=", "K(", "6", ")=", "4", "$\n$", "b=", "G(", "4", ")=", "0", "$\n$", "c=",
    ]  # fmt: skip
    assert pieces(tokenizer, "\\boxed{a^4b^0}$") == ["\\boxed{", "a^", "4", "b^", "0", "}$"]


def test_prompts_are_short_and_every_digit_stands_alone(tokenizer):
    hard = load_problems(ProblemSettings(num_hard=2), 0)[0]
    guided = type(hard)(**{**{f: getattr(hard, f) for f in hard.__struct_fields__}, "guidance": "$a=F(8)=5$"})
    prompts = PromptBuilder(tokenizer, "default")
    assert len(prompts.ids(hard, guided=False)) < 80
    assert len(prompts.ids(guided, guided=True)) < 160
    for i in range(tokenizer.vocab_size):
        piece = tokenizer.decode([i])
        assert len(piece) == 1 or not any(char.isdigit() for char in piece)


def test_any_text_survives_the_tokenizer(tokenizer):
    for text in ("Grüße, 世界! $x^{12}$ \t\n <tag> \\frac{1}{2}", *(e.response for e in corpus(20, 5, Mix()))):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_the_folder_loads_as_a_chat_model_whose_answers_end(folder, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.model_type == "qwen3"
    assert model.config.vocab_size == len(tokenizer) == 1024
    assert model.config.tie_word_embeddings
    assert model.dtype == torch.float32
    assert tokenizer.eos_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == model.config.eos_token_id == tokenizer.eos_token_id
    turn = [{"role": "user", "content": "x"}]
    text = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
    assert json.loads((folder / "recipe.json").read_text())["hidden_size"] == 32


def test_training_sequences_are_the_prompts_of_training_plus_answer_and_end(tokenizer):
    examples = list(corpus(50, 0, Mix()))
    sequences, first = base_model._tokenize(examples, tokenizer)
    for example, sequence, start in zip(examples, sequences, first, strict=True):
        prompt = PromptBuilder(tokenizer, example.instruction).ids(example.problem, example.guided)
        assert sequence[:start].tolist() == prompt
        assert tokenizer.decode(sequence[start:-1].tolist()) == example.response
        assert sequence[-1] == tokenizer.eos_token_id


def test_a_cached_model_is_found_and_not_made_again(folder, monkeypatch):
    monkeypatch.setattr(base_model, "_make", None)
    assert ensure_base_model(ModelSettings(cache_dir=str(folder.parent)), recipe=SMALL) == folder
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name, f"{folder.name}.lock"]


def test_every_number_and_every_prompt_is_part_of_the_key(monkeypatch):
    keys = {Recipe().key, Recipe(seed=1).key, Recipe(learning_rate=1e-3).key, Recipe(mix=Mix(step_right=0.31)).key}
    monkeypatch.setattr(base_model, "unguided_message", lambda statement: statement)
    assert len(keys | {Recipe().key}) == 5


def test_of_several_that_need_the_model_one_makes_it(tmp_path, monkeypatch):
    made = []

    def make(recipe, folder, threads, advance):
        made.append(folder)
        threading.Event().wait(0.2)
        folder.mkdir()

    monkeypatch.setattr(base_model, "_make", make)
    settings = ModelSettings(cache_dir=str(tmp_path))
    callers = [threading.Thread(target=ensure_base_model, args=(settings,), kwargs={"recipe": SMALL}) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(made) == 1


def test_a_failed_making_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise RuntimeError("training failed")

    monkeypatch.setattr("learner.pretrain.pretrain", fail)
    with pytest.raises(RuntimeError, match="training failed"):
        ensure_base_model(ModelSettings(cache_dir=str(tmp_path)), recipe=SMALL)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"model\.cache_dir=.*file: .*name a folder that can be written"):
        ensure_base_model(ModelSettings(cache_dir=str(tmp_path / "file")), recipe=SMALL)


def test_the_settings_know_the_models_there_are():
    assert (*RECIPES, smollm2.PATH) == MODELS
    assert len({recipe.key for recipe in RECIPES.values()}) == len(RECIPES)
