"""The built-in domain: arithmetic checked by hand, disjoint problem sets, and the statistics of the corpus."""

import hashlib
import re
from collections import Counter

import pytest

from actors.problems.catalog import held_out_problems, load_problems
from actors.problems.tiny.chains import OPERATIONS, Chain, apply
from actors.problems.tiny.corpus import Mix, corpus
from actors.problems.tiny.ring_walk import RingWalk
from broker.errors import UsageError
from conf.schema import ProblemSettings

WITH_EASY = {"unguided": 1, "guided": 1, "easy": 1}


def test_a_chain_worked_by_hand():
    chain = Chain(6, "KGH")  # 3*6+6=24, 7*4+2=30, 9*0+4=4
    assert chain.statement.endswith("Put $a=K(6)$, $b=G(a)$, $c=H(b)$. Find the monomial with these exponents.")
    assert chain.solution == "$a=K(6)=4$\n$b=G(4)=0$\n$c=H(0)=4$\nThe answer is $\\boxed{a^4b^0c^4}$."
    assert chain.answer == "a^4b^0c^4"


def test_the_statement_says_in_words_what_the_operations_do():
    words = {"three": 3, "seven": 7, "nine": 9, "one": 1, "two": 2, "four": 4, "six": 6}
    described = re.findall(r"([FGHK]) multiplies by (\w+) and adds (\w+)", Chain(0, "F").statement)
    assert {name: (words[a], words[b]) for name, a, b in described} == OPERATIONS


def test_a_ring_walk_worked_by_hand():
    walk = RingWalk(6, ("short", "long", "long"))
    assert "starts on tile $6$ and makes these moves: short, long, long." in walk.statement
    assert walk.solution == "short $6+1=7$\nlong $7+3=0$\nlong $0+3=3$\nIt stops on tile $\\boxed{3}$."


def test_problems_are_a_pure_function_of_settings_and_seed_with_stable_ids():
    settings = ProblemSettings(chain_steps=8, arms=WITH_EASY)
    assert load_problems(settings, 3) == load_problems(settings, 3)
    assert load_problems(settings, 3) != load_problems(settings, 4)
    ids = [problem.id for problem in load_problems(settings, 3)]
    assert ids[3] == "chain8-s3-0003"
    assert ids[128] == "ring-s3-0000"
    assert held_out_problems(settings, 3, 5)[4].id == "held8-s3-0004"
    assert load_problems(ProblemSettings(arms=WITH_EASY, easy_kind="related"), 3)[128].id == "short-s3-0000"


def test_easy_problems_come_only_with_their_arm():
    assert len(load_problems(ProblemSettings(), 0)) == 128
    assert len(load_problems(ProblemSettings(arms=WITH_EASY), 0)) == 192
    assert len(load_problems(ProblemSettings(arms={"easier": 1}), 0)) == 148


@pytest.mark.parametrize("easy_kind", ["unrelated", "related"])
def test_easier_problems_are_one_step_long_and_never_among_the_easy_ones(easy_kind):
    settings = ProblemSettings(num_hard=1, arms={**WITH_EASY, "easier": 1}, easy_kind=easy_kind)
    problems = load_problems(settings, 0)
    steps = {
        bucket: {len(problem.solution.split("\n")) - 1 for problem in problems if problem.bucket == bucket}
        for bucket in ("easy", "easier")
    }
    assert steps == {"easy": {2, 3, 4} if easy_kind == "unrelated" else {2}, "easier": {1}}
    assert {problem.id.partition("-")[0] for problem in problems if problem.bucket == "easier"} == {
        "ring1" if easy_kind == "unrelated" else "short1"
    }


@pytest.mark.parametrize("easy_kind", ["unrelated", "related"])
@pytest.mark.parametrize("chain_steps", [2, 5, 8])
def test_no_two_problems_of_all_sets_are_equal(easy_kind, chain_steps):
    settings = ProblemSettings(arms=WITH_EASY, easy_kind=easy_kind, chain_steps=chain_steps, num_hard=16)
    problems = load_problems(settings, 1) + held_out_problems(settings, 1, 16)
    assert len({problem.statement for problem in problems}) == len(problems) == 96
    other_seed = {problem.statement for problem in held_out_problems(settings, 2, 16)}
    assert not other_seed & {problem.statement for problem in load_problems(settings, 1)}


def test_asking_for_more_problems_than_there_are_is_refused():
    with pytest.raises(UsageError, match="has 5 hard chains of 1 steps, 128 were asked for"):
        load_problems(ProblemSettings(chain_steps=1), 0)
    with pytest.raises(UsageError, match="280 ring walks of 2 or 3 or 4 moves, 281 were"):
        load_problems(ProblemSettings(arms=WITH_EASY, num_easy=281), 0)
    with pytest.raises(UsageError, match="20 ring walks of 1 moves, 21 were"):
        load_problems(ProblemSettings(arms={"easier": 1}, num_easier=21), 0)
    with pytest.raises(UsageError, match="at most 40960 chains"):
        load_problems(ProblemSettings(num_hard=100_000, chain_steps=8), 0)


def test_a_systematic_mistake_never_gives_the_right_digit():
    for a, b in OPERATIONS.values():
        for x in range(10):
            assert (a * x + b) % 10 not in (a * (x + b) % 10, a * x % 10)


def test_the_corpus_has_the_shares_of_its_mix():
    mix = Mix()
    examples = list(corpus(4000, 0, mix))
    kinds = Counter(
        ("ring" if "robot" in e.problem.statement else "chain", e.guided, e.instruction) for e in examples
    )
    share = {kind: count / len(examples) for kind, count in kinds.items()}
    assert share == {
        ("chain", False, "default"): pytest.approx(0.40, abs=0.03),
        ("chain", True, "default"): pytest.approx(0.38, abs=0.03),
        ("chain", True, "modified"): pytest.approx(0.10, abs=0.02),
        ("ring", False, "default"): pytest.approx(0.12, abs=0.02),
    }
    restating = [e.response.startswith("$a=") for e in examples if e.guided and e.instruction == "default"]
    assert sum(restating) / len(restating) == pytest.approx(mix.restate, abs=0.04)
    assert not any(e.response.startswith("$a=") for e in examples if e.instruction == "modified")


def test_terse_partial_responses_have_their_share_and_are_answered_in_the_usual_form():
    guided = [e for e in corpus(4000, 2, Mix(terse=0.5)) if e.guided]
    terse = [e for e in guided if "gives" in (e.problem.guidance or "")]
    assert len(terse) / len(guided) == pytest.approx(0.5 * 6 / 7, abs=0.04)  # of 2 to 8 steps, those from 3 on
    for example in terse:
        guidance, lines = example.problem.guidance or "", example.response.split("\n")
        digits = re.findall(r"(?:gives|into) (\d)", guidance)
        assert len(digits) % 2 == 0
        assert guidance.count(".") == len(digits) // 2
        assert all(re.fullmatch(r"\$\w=[FGHK]\(\d\)=\d\$", line) for line in lines[:-1])
        written = re.findall(r"=(\d)\$", example.response)
        assert len(lines) > 1, "at least one step remains"
        box = re.findall(r"\^(\d)", lines[-1])
        assert box == (written if lines[0].startswith("$a=") else digits + written)
        assert box[: len(digits)] == digits


def test_the_corpus_without_terse_partial_responses_is_unchanged():
    text = "\n".join(f"{e.problem.statement}|{e.problem.guidance}|{e.response}" for e in corpus(2000, 0, Mix()))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "e8d8fc152f19892b"


def test_steps_of_the_corpus_are_right_as_often_as_the_mix_says_with_consistent_digits():
    right = Counter()
    for example in corpus(3000, 1, Mix()):
        if "robot" in example.problem.statement:
            moves = re.findall(r"\$(\d)\+(\d)=(\d)\$", example.response)
            right.update(("ring", (int(tile) + int(move)) % 10 == int(after)) for tile, move, after in moves)
            continue
        given = example.problem.guidance or ""
        steps = re.findall(r"([FGHK])\((\d)\)=(\d)\$", example.response)
        if not example.guided:
            right.update(("chain", apply(name, int(x)) == int(y)) for name, x, y in steps)
        restates = example.response.startswith("$a=")
        written = re.findall(r"=(\d)\$", "" if restates else given) + [y for _, _, y in steps]
        assert re.findall(r"\^(\d)", example.response) == written, "the box repeats the digits of the lines"
    assert right["chain", True] / (right["chain", True] + right["chain", False]) == pytest.approx(0.30, abs=0.02)
    assert right["ring", True] / (right["ring", True] + right["ring", False]) == pytest.approx(0.75, abs=0.04)


def test_the_corpus_has_no_hard_or_held_out_chain():
    hard = load_problems(ProblemSettings(num_hard=500, chain_steps=8), 0)
    problems = hard + held_out_problems(ProblemSettings(chain_steps=8), 0, 500)
    unseen = {problem.statement for problem in problems}
    assert not unseen & {example.problem.statement for example in corpus(3000, 0, Mix())}
