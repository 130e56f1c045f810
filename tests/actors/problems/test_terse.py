"""The terse oracle style: right steps, prefixes of whole sentences, no leak of the answer."""

import random
import re

import pytest

from actors.problems.catalog import load_problems
from actors.problems.cut_points import boundaries
from actors.problems.guidance import candidate_prefixes, random_short_prefix
from actors.problems.leaks import shows_answer
from actors.problems.tiny.chains import Chain, apply, distinct_chains
from actors.problems.tiny.terse import terse_solution
from conf.schema import ProblemSettings


def chains(steps: int) -> list[Chain]:
    return distinct_chains("hard", (steps,), 5, random.Random(steps))


def test_a_chain_worked_by_hand():
    assert terse_solution(Chain(6, "KGHFG")) == (
        "Starting from 6, K gives 4 and then G gives 0. Applying H turns that into 4, and F turns it into 3. "
        "One more G leaves 3. Read off in order, these digits make $\\boxed{a^4b^0c^4d^3f^3}$."
    )
    assert terse_solution(Chain(6, "K")) == (
        "Starting from 6, K gives 4. Read off in order, these digits make $\\boxed{a^4}$."
    )


@pytest.mark.parametrize("steps", range(1, 9))
def test_every_step_and_the_final_answer_are_right(steps):
    for chain in chains(steps):
        *sentences, last = terse_solution(chain).split(". ")
        steps_found = re.findall(r"([FGHK]) (?:gives|turns that into|turns it into|leaves) (\d)", " ".join(sentences))
        value = chain.start
        for operation, digit in steps_found:
            value = apply(operation, value)
            assert int(digit) == value
        assert [operation for operation, _ in steps_found] == list(chain.operations)
        assert f"\\boxed{{{chain.answer}}}" in last


@pytest.mark.parametrize("steps", range(1, 9))
def test_a_prefix_is_whole_sentences_and_never_shows_the_answer(steps):
    for chain in chains(steps):
        solution = terse_solution(chain)
        prefixes = candidate_prefixes(solution, 8, chain.answer, chain.statement)
        ends = [end for end in boundaries(solution) if end < len(solution)]
        assert prefixes == [solution[:end].rstrip() for end in ends[: len(prefixes)]]
        # Guidance has the last sentence before the answer only if it is the first, so one or two steps remain.
        assert len(prefixes) == max(1, (steps + 1) // 2 - 1)
        fallback = random_short_prefix(solution, chain.answer, random.Random(0), chain.statement)
        assert len(fallback) < len(solution) / 4
        for prefix in [*prefixes, *([fallback] if fallback else [])]:
            assert not shows_answer(prefix, chain.answer, chain.statement)
            assert prefix.endswith(".")


def test_the_style_changes_the_solutions_of_chains_and_nothing_else():
    arms = {"unguided": 1, "guided": 1, "easy": 1, "easier": 1}
    for kind in ("unrelated", "related"):
        model = load_problems(ProblemSettings(arms=arms, easy_kind=kind), 0)
        terse = load_problems(ProblemSettings(arms=arms, easy_kind=kind, oracle_style="terse"), 0)
        for ours, other in zip(model, terse, strict=True):
            assert (ours.id, ours.statement, ours.answer) == (other.id, other.statement, other.answer)
            assert (ours.solution == other.solution) == ours.id.startswith("ring")
