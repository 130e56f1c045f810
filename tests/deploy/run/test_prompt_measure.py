"""Prompts are measured with the tokenizer of the model, or bounded by their words for the built-in one."""

from dataclasses import replace

import pytest

from actors.problems.problem_set import ProblemSet
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import ActorSettings, ModelSettings, RunConfig
from deploy.run import prompt_measure
from deploy.run.prompt_measure import prompt_check
from tests.actors.test_prompts import WordTokenizer

LONG = Problem(id="long", statement="word " * 40, answer="1", bucket="hard", source="s")
SHORT = Problem(id="short", statement="word", answer="1", bucket="hard", source="s")


def config(path, limit):
    return replace(RunConfig(), model=ModelSettings(path=str(path)), actors=ActorSettings(max_prompt_tokens=limit))


def test_the_words_of_a_foreign_problem_bound_the_prompt_of_the_built_in_model():
    own = Problem(id="own", statement="word " * 40, answer="1", bucket="hard", source="builtin:tiny")
    checked = prompt_check(config("builtin:tiny", 39))(ProblemSet([SHORT, LONG, own]))
    assert [p.id for p in checked.problems] == ["short", "own"]
    assert checked.rejected[0].detail == "its prompt has at least 40 tokens, actors.max_prompt_tokens=39; raise it"


def test_another_model_counts_the_whole_rendered_prompt(tmp_path, monkeypatch):
    monkeypatch.setattr(prompt_measure, "load_tokenizer", lambda folder: WordTokenizer())
    length = len(prompt_measure._prompt_builder(config(tmp_path, 1)).ids(LONG, guided=False))
    assert length > 40
    assert prompt_check(config(tmp_path, length))(ProblemSet([LONG])).problems == [LONG]
    (rejected,) = prompt_check(config(tmp_path, length - 1))(ProblemSet([LONG])).rejected
    assert f"its prompt has {length} tokens" in rejected.detail


def test_a_folder_without_a_tokenizer_is_refused_by_name(tmp_path, monkeypatch):
    def load(folder):
        raise OSError(f"no tokenizer in {folder}\nand more")

    monkeypatch.setattr(prompt_measure, "load_tokenizer", load)
    with pytest.raises(UsageError, match=r"model\.path=.*its tokenizer cannot be loaded: no tokenizer in .*(?<!more)$"):
        prompt_check(config(tmp_path, 9))(ProblemSet([SHORT]))
