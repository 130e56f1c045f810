"""The longest prefix that guided groups may have: by the rule, by the prompt's limit, by what it shows."""

import msgspec
import pytest

from actors.longest_guidance import with_longest_prefixes
from actors.problems.catalog import load_problems
from actors.problems.mixture import has_prefix
from actors.prompts import PromptBuilder
from broker.records import Problem
from conf.schema import GuidanceSettings, ProblemSettings
from tests.actors.chat_tokenizers import byte_tokenizer

HARD, *_, EASY = load_problems(
    ProblemSettings(num_hard=2, chain_steps=8, num_easy=1, arms={"guided": 1, "easy": 1}), 0
)
PROMPTS = PromptBuilder(byte_tokenizer())
ADAPTIVE = GuidanceSettings(length="adaptive")


def chosen(problem: Problem, settings: GuidanceSettings = ADAPTIVE, max_tokens: int = 10**6) -> str | None:
    (found,) = with_longest_prefixes([problem], PROMPTS, settings, max_tokens)
    return found.guidance


def first(count: int) -> str:
    return "\n".join((HARD.solution or "").splitlines()[:count])


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        (ADAPTIVE, 7),
        (GuidanceSettings(length="annealed", shares=[0.5, 0.0], schedule_groups=9), 7),  # a binomial may be the whole
        (GuidanceSettings(length="staged", shares=[0.25, 0.5], schedule_groups=9), 4),
        (GuidanceSettings(length="fixed", shares=[0.25]), 2),
    ],
)
def test_it_is_the_longest_that_the_rule_may_ask_for(settings: GuidanceSettings, steps: int) -> None:
    assert chosen(HARD, settings) == first(steps)


def test_it_is_shorter_where_the_prompt_would_be_too_long() -> None:
    three = len(PROMPTS.ids(msgspec.structs.replace(HARD, guidance=first(3)), guided=True))
    assert chosen(HARD, max_tokens=three) == first(3)
    assert chosen(HARD, max_tokens=three - 1) == first(2)
    assert chosen(HARD, max_tokens=100) == ""


def test_it_replaces_a_searched_prefix_and_leaves_easy_problems_alone() -> None:
    assert chosen(msgspec.structs.replace(HARD, guidance=first(1))) == first(7)
    assert EASY.bucket == "easy"
    assert chosen(EASY) is EASY.guidance


@pytest.mark.parametrize("solution", [None, "The answer is 7. It is 7."])
def test_a_problem_without_an_allowed_prefix_is_not_guided(solution: str | None) -> None:
    problem = msgspec.structs.replace(HARD, solution=solution, answer="7")
    (found,) = with_longest_prefixes([problem], PROMPTS, ADAPTIVE, 10**6)
    assert not has_prefix(found)
