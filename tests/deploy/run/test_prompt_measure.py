"""Prompts are measured with the tokenizer of the model, or bounded by their words for the built-in one."""

from dataclasses import replace

import pytest

from actors.problems.problem_set import ProblemSet
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import ActorSettings, ModelSettings, ProblemSettings, RunConfig
from deploy.run import model_prompts
from deploy.run.prompt_measure import with_fitting_prompts
from tests.actors.test_prompts import WordTokenizer

LONG = Problem(id="long", statement="word " * 40, answer="1", bucket="hard", source="s")
SHORT = Problem(id="short", statement="word", answer="1", bucket="hard", source="s")


def config(path, limit):
    problems = ProblemSettings(source="set.jsonl")
    actors = ActorSettings(max_prompt_tokens=limit)
    return replace(RunConfig(), problems=problems, model=ModelSettings(path=str(path)), actors=actors)


def test_the_words_of_a_foreign_problem_bound_the_prompt_of_the_built_in_model():
    own = Problem(id="own", statement="word " * 40, answer="1", bucket="hard", source="builtin:tiny")
    checked = with_fitting_prompts(config("builtin:tiny", 39), ProblemSet([SHORT, LONG, own], rows={"long": 2}))
    assert [p.id for p in checked.problems] == ["short", "own"]
    assert [(r.row, r.reason) for r in checked.rejected] == [(2, "prompt_too_long")]
    assert "more than 40 tokens, actors.max_prompt_tokens=39; raise the setting" in checked.rejected[0].detail


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder that is read as a model whose tokens are words."""
    monkeypatch.setattr(model_prompts, "load_tokenizer", lambda folder: WordTokenizer())
    monkeypatch.setattr(model_prompts, "stop_token_ids", lambda *_: [0])
    return tmp_path


def test_another_model_counts_the_whole_rendered_prompt(model):
    length = len(model_prompts.ModelPrompts.of(config(model, 1), model).builder.ids(LONG, guided=False))
    assert length > 40
    assert with_fitting_prompts(config(model, length), ProblemSet([LONG])).problems == [LONG]
    (rejected,) = with_fitting_prompts(config(model, length - 1), ProblemSet([LONG])).rejected
    assert f"its prompt has {length} tokens" in rejected.detail


def test_a_guided_prompt_from_the_file_is_measured_too(model):
    guided = Problem(id="g", statement="word", answer="1", bucket="hard", source="s", guidance="step " * 300)
    (rejected,) = with_fitting_prompts(config(model, 300), ProblemSet([SHORT, guided])).rejected
    assert (rejected.id, rejected.reason) == ("g", "prompt_too_long")
    assert "its guided prompt has" in rejected.detail


def test_a_folder_without_a_tokenizer_is_refused_by_name(tmp_path, monkeypatch):
    def load(folder):
        raise OSError(f"no tokenizer in {folder}\nand more")

    monkeypatch.setattr(model_prompts, "load_tokenizer", load)
    with pytest.raises(UsageError, match=r"model\.path=.*its tokenizer cannot be loaded: no tokenizer in .*(?<!more)$"):
        with_fitting_prompts(config(tmp_path, 9), ProblemSet([SHORT]))
