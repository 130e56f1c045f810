"""Prefixes: where they are cut, what they never show, and which one is chosen."""

import json
import random
import re
from pathlib import Path

import pytest

from actors.problems.catalog import load_problems
from actors.problems.guidance import PrefixSearch, candidates, choose, random_short_prefix
from broker.records import Problem
from conf.schema import ProblemSettings

DATA = Path(__file__).parents[3] / "shared" / "data" / "olympiadbench.jsonl"
HARD = load_problems(ProblemSettings(num_hard=4, chain_steps=8), 0)


def test_candidates_of_a_chain_are_exactly_its_first_lines():
    solution, answer = HARD[0].solution, HARD[0].answer
    lines = solution.split("\n")
    assert candidates(solution, 8, answer) == ["\n".join(lines[:i]) for i in range(1, 8)]
    assert candidates(solution, 4, answer) == ["\n".join(lines[:i]) for i in (2, 4, 6)]
    assert candidates(solution, 64, answer) == candidates(solution, 8, answer)


def test_prose_is_cut_at_ends_of_sentences_and_lines():
    text = "Let x be odd. Then x^2 is odd, e.g. 9 for 3. So we add.\nNow it is easy. Hence it is \\boxed{77}."
    assert candidates(text, 5, "77") == [
        "Let x be odd.",
        "Let x be odd. Then x^2 is odd, e.g. 9 for 3.",
        "Let x be odd. Then x^2 is odd, e.g. 9 for 3. So we add.",
    ]


@pytest.mark.parametrize(
    "latex",
    ["$$a\n+ b. C\n$$", "\\[a\n+ b. C\n\\]", "\\(a. B\\)", "$a. B\nc$", "\\begin{align*}a\n&= b. C\n\\end{align*}"],
)
def test_latex_is_never_cut(latex):
    text = f"First this. Second {latex} that. Third it. Fourth it. Fifth it is \\boxed{{99}}."
    for prefix in candidates(text, 16, "99"):
        assert latex in prefix or not set(prefix) & set("$\\")


def test_an_unmatched_dollar_sign_does_not_reach_over_a_blank_line():
    text = "It costs $5. We pay.\n\nAnother one. And more. It is \\boxed{12}."
    assert candidates(text, 8, "12")[-1].endswith("Another one.")


def test_no_prefix_shows_the_final_answer():
    text = "We count. There are 14 ways. Add them. Check it. So the sum is 14. The answer is \\boxed{14}."
    assert candidates(text, 8, "14") == []
    assert random_short_prefix(text, "14", random.Random(0)) == "We count."
    assert candidates("One. Two. The answer is 5. Three. Four.", 4, "5") == ["One."]
    assert candidates("One. Two. We get 33. Three. Four.", 4, "033") == ["One."]


def test_the_fall_back_is_shorter_than_a_quarter_and_at_least_one_line():
    problem = HARD[0]
    lines = problem.solution.split("\n")
    seen = {random_short_prefix(problem.solution, problem.answer, random.Random(seed)) for seed in range(50)}
    assert seen == {"\n".join(lines[:n]) for n in (1, 2, 3)}  # 3 lines of 11 characters of 137
    assert all(len(prefix) < len(problem.solution) / 4 for prefix in seen)
    long_line = "A very long first sentence that is more than a quarter of all. So \\boxed{11}."
    assert random_short_prefix(long_line, "11", random.Random(0)).endswith("quarter of all.")
    assert random_short_prefix("The answer is \\boxed{11}.", "11", random.Random(0)) == ""


def test_the_shortest_successful_prefix_is_chosen():
    assert choose([0, 0, 1, 5]) == 2
    assert choose([16]) == 0
    assert choose([0, 0]) is None
    assert choose([]) is None


def run(search, solved_from):
    """Every problem succeeds from its own number of given lines on; None: never. Returns the rounds."""
    rounds = 0
    while pending := search.pending():
        rounds += 1
        for problem, prefix in pending:
            needed = solved_from[problem.id]
            search.record(problem.id, 3 if needed and prefix.count("\n") + 1 >= needed else 0)
    return rounds


def test_a_search_tries_the_shortest_first_and_stops_at_the_first_success():
    needed = {HARD[0].id: 1, HARD[1].id: 3, HARD[2].id: 7, HARD[3].id: None}
    search = PrefixSearch(HARD, 8, 16, seed=0)
    assert run(search, needed) == 7
    chosen = search.result()
    assert [chosen[p.id].count("\n") + 1 for p in HARD[:3]] == [1, 3, 7]
    assert search.fallbacks == [HARD[3].id]
    assert HARD[3].solution.startswith(chosen[HARD[3].id])
    assert len(chosen[HARD[3].id]) < len(HARD[3].solution) / 4
    tried = [(t.index, t.successes) for t in search.trials if t.problem_id == HARD[1].id]
    assert tried == [(0, 0), (1, 0), (2, 3)]
    assert sum(t.samples for t in search.trials) == 16 * (1 + 3 + 7 + 7)


def test_a_search_is_a_pure_function_of_its_seed():
    results = []
    for seed in (0, 0, 1, 2, 3):
        search = PrefixSearch(HARD, 8, 16, seed)
        run(search, dict.fromkeys((p.id for p in HARD), None))
        results.append(search.result())
    assert results[0] == results[1]
    assert len({tuple(sorted(r.items())) for r in results}) > 1


def test_a_search_refuses_what_it_did_not_ask_for():
    search = PrefixSearch(HARD[:1], 8, 16, seed=0)
    with pytest.raises(ValueError, match="still have a prefix to try"):
        search.result()
    with pytest.raises(ValueError, match="17 successes of 16"):
        search.record(HARD[0].id, 17)
    search.record(HARD[0].id, 1)
    with pytest.raises(ValueError, match="no pending prefix"):
        search.record(HARD[0].id, 1)
    with pytest.raises(ValueError, match="no solution"):
        PrefixSearch([Problem(id="x", statement="x", answer="1", bucket="hard", source="t")], 8, 16, 0)


@pytest.mark.skipif(not DATA.exists(), reason="the olympiad solutions are not beside the repository (../shared/data)")
def test_human_solutions_are_cut_without_breaking_latex_or_showing_the_box():
    cut = 0
    for line in DATA.read_text().splitlines():
        row = json.loads(line)
        solution, answer = row["solution"][0], row["final_answer"][0].strip("$")
        prefixes = candidates(solution, 8, answer)
        cut += len(prefixes) >= 2
        for prefix in prefixes:
            assert solution.startswith(prefix)
            assert "\\boxed" not in prefix
            assert prefix.count("\\begin{") == prefix.count("\\end{")
            assert len(re.findall(r"(?<!\\)\$", prefix)) % 2 == 0 or len(re.findall(r"(?<!\\)\$", solution)) % 2
    assert cut > 400, "most of the 675 solutions give a choice of prefixes"
