"""Word problems: every answer recomputed from the events and from the equations, correct English, disjoint sets."""

import re
from collections import Counter

import pytest

from actors.problems.catalog import BUILTIN, held_out_problems, load_problems
from actors.problems.guidance import candidate_prefixes
from actors.problems.stories.problems import FAMILIES, draw_stories
from actors.problems.stories.story import LARGEST, SMALLEST, Event, sentence
from broker.errors import UsageError
from conf.rules.problems import MAX_STORY_STEPS, SOURCES, STORY_FAMILIES
from conf.schema import ProblemSettings
from tests.actors.problems.story_interpreter import answer

STORIES = draw_stories((), (1, MAX_STORY_STEPS), 1600, 0, unseen=False)
UNSEEN = draw_stories((), (1, MAX_STORY_STEPS), 600, 0, unseen=True)
EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)\b")
OPERATION = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b}
WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine")


def settings(**given):
    return ProblemSettings(**{"source": "builtin:stories", **given})


def numbers(text):
    """The numbers of a text, in digits and in words."""
    spelled = {word: str(n) for n, word in enumerate(WORDS, 2)}
    return [int(spelled.get(found, found)) for found in re.findall(rf"\d+|\b(?:{'|'.join(WORDS)})\b", text.lower())]


def test_the_settings_know_the_families_there_are():
    assert tuple(FAMILIES) == STORY_FAMILIES
    assert tuple(BUILTIN) == SOURCES
    assert {story.family for story in STORIES} == set(FAMILIES)


def test_a_story_worked_by_hand():
    events: tuple[Event, ...]
    events = (Event("start", (7,)), Event("gain", (4,)), Event("lose_groups", (3, 2)), Event("sell", (5,)))
    assert answer(events) == (7 + 4 - 3 * 2) * 5 == 25
    events = (Event("has", (3,), ("A",)), Event("times", (2,), ("B", "A")), Event("together", (), ("A", "B")))
    assert answer(events) == 9
    assert answer((Event("buy", (3, 4)), Event("buy", (1, 5)), Event("pay", (20,)))) == 3


def test_the_answer_follows_from_the_events_and_from_the_equations():
    for story in STORIES + UNSEEN:
        assert story.answer == answer(story.events), story.statement
        equations = EQUATION.findall(" ".join(story.steps))
        assert len(equations) == len(story.steps)
        for a, operation, b, result in equations:
            assert OPERATION[operation](int(a), int(b)) == int(result)
            assert SMALLEST <= int(result) <= LARGEST
        assert int(equations[-1][3]) == story.answer
        assert story.solution.endswith(f" The answer is \\boxed{{{story.answer}}}.")


def test_every_number_of_the_events_is_told_and_at_most_one_other():
    with_an_aside = 0
    for story in STORIES:
        told = Counter(numbers(story.statement))
        meant = Counter(n for event in story.events for n in event.numbers if (event.verb, n) != ("times", n))
        if story.family == "people":
            told -= Counter(numbers(" ".join(re.findall(r"(?:three|four) times", story.statement))))
        if story.family == "shopping":
            meant -= Counter(1 for event in story.events if event.verb == "buy" and event.numbers[0] == 1)
        others = told - meant
        assert not meant - told, story.statement
        assert others.total() <= 1, story.statement
        with_an_aside += others.total()
        assert story.answer not in told
    assert 0.2 * len(STORIES) < with_an_aside < 0.6 * len(STORIES)


def test_texts_are_whole_sentences_without_a_singular():
    for story in STORIES + UNSEEN:
        for part in (*story.sentences, story.question, *story.steps):
            assert re.fullmatch(r"[A-Z][^{}]*[.?]", part), part
            assert not re.search(r"\s\s|\s[.,?]|\b1\b|\.\.|\b(?:a|A) [aeiou]|\ban (?!hour)[^aeiou]", part), part
        assert story.statement.count("?") <= 1
        pronouns = set(re.findall(r"\b(?:he|she|his|her|him)\b", story.statement.lower()))
        assert not (pronouns & {"he", "his", "him"} and pronouns & {"she", "her"}), story.statement
    assert sentence("3 boxes are full") == "Three boxes are full."
    assert sentence("35 boxes are full") == "35 boxes are full."


def test_all_stories_differ_in_what_is_calculated_and_no_unseen_one_is_among_the_others():
    keys, unseen = {story.key for story in STORIES}, {story.key for story in UNSEEN}
    assert len(keys) == len(STORIES)
    assert len(unseen) == len(UNSEEN)
    assert not keys & unseen
    assert not {story.statement for story in STORIES} & {story.statement for story in UNSEEN}
    others = draw_stories((), (1, MAX_STORY_STEPS), 600, 7, unseen=True)
    assert not keys & {story.key for story in others}


def test_families_and_numbers_of_steps_are_drawn_alike():
    stories = draw_stories((), (2, 5), 360, 3, unseen=False)
    assert set(Counter((story.family, len(story.steps)) for story in stories).values()) == {10}
    assert {story.family for story in draw_stories(("bus", "farm"), (3, 3), 8, 0, unseen=False)} == {"bus", "farm"}


def test_the_largest_number_bounds_what_is_calculated_with() -> None:
    small = draw_stories((), (1, 4), 144, 0, unseen=False, largest=15)
    numbers = [int(n) for story in small for step in story.steps for n in re.findall("[0-9]+", step)]
    assert max(numbers) == 15 == max(story.largest for story in small)
    assert max(story.largest for story in STORIES) == 60
    with pytest.raises(UsageError, match=r"shopping with 6 steps and numbers up to 12;.*problems\.story_largest"):
        draw_stories(("shopping",), (6, 6), 1, 0, unseen=False, largest=12)


def test_problems_are_a_pure_function_of_settings_and_seed_with_stable_ids():
    easy = settings(num_hard=30, arms={"unguided": 1, "easy": 1, "easier": 1}, num_easy=9, num_easier=9)
    problems = load_problems(easy, 5)
    assert problems == load_problems(easy, 5)
    assert problems != load_problems(easy, 6)
    assert Counter(problem.bucket for problem in problems) == {"hard": 30, "easy": 9, "easier": 9}
    assert [problems[i].id for i in (0, 29, 30, 39)] == [
        "story3-s5-0000", "story3-s5-0029", "story2-s5-0000", "story1-s5-0000",
    ]  # fmt: skip
    assert len({problem.id for problem in problems}) == 48
    unseen = load_problems(settings(num_hard=3, source="builtin:stories-unseen"), 5)
    assert unseen == held_out_problems(settings(num_hard=3), 5, 3)
    assert unseen[2].id == "unseen3-s5-0002"


def test_guidance_is_made_of_whole_sentences_before_the_last_step():
    for story in [story for story in STORIES if len(story.steps) > 1][::7]:
        prefixes = candidate_prefixes(story.solution, 8, str(story.answer), story.statement)
        whole = [" ".join(story.steps[:n]) for n in range(1, len(story.steps))]
        assert set(prefixes) <= set(whole), story.solution
        assert prefixes, story.solution


def test_more_stories_than_there_are_is_an_error_that_says_what_to_do():
    with pytest.raises(UsageError, match=r"family bus with 1 steps and numbers up to 60; lower problems\.num_hard"):
        load_problems(settings(num_hard=5000, story_steps=[1, 1], story_families=["bus"]), 0)
