"""Scores, cost, sentences and the classes of problems, on numbers one can check by hand."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors.results import Result
from broker.ledger import LedgerRow, Outcome
from broker.records import Problem
from broker.transfer import transfer
from conf.load import load
from deploy.report.draw_cost import costs
from deploy.report.draw_interference import ended, pair, shares
from deploy.report.draw_transfer import class_counts, solved
from deploy.report.estimates import Estimate, over_problems, over_seeds
from deploy.report.experiments import Experiment
from deploy.report.figure import Bar
from deploy.report.problem_rows import problem_rows, telling
from deploy.report.records import Ending, Group, RunRecords
from deploy.report.rollouts import MOST_CHARS, excerpt, split_at_guidance
from deploy.report.scores import HARD, Score, TableRow, cell, columns, scores, table_rows, to_markdown
from deploy.report.verdict import sentences

LEDGER = [
    LedgerRow("both", "guided", 8, 3, 2, (Outcome(2, 3, 8),)),
    LedgerRow("both", "unguided", 16, 1, 5, (Outcome(1, 0, 8), Outcome(5, 1, 8))),
    LedgerRow("guided", "guided", 8, 1, 4, (Outcome(4, 1, 8),)),
    LedgerRow("guided", "unguided", 8, 0, None, (Outcome(4, 0, 8),)),
    LedgerRow("never", "guided", 8, 0, None, (Outcome(4, 0, 8),)),
    LedgerRow("never", "unguided", 8, 0, None, (Outcome(4, 0, 8),)),
    LedgerRow("self", "guided", 8, 0, None, (Outcome(4, 0, 8),)),
    LedgerRow("self", "unguided", 8, 8, 3, (Outcome(3, 8, 8),)),
]
PROBLEMS = [
    Problem(id=id, statement="?", answer="1", bucket="hard", source="x") for id in ("both", "guided", "never", "self")
]


def run(name: str = "a", seed: int = 0, **records: Any) -> RunRecords:
    config = load(None, [f"run.seed={seed}", "evaluation.k=[1,4]"])
    return RunRecords(path=Path("runs") / name, config=config, **({"problems": PROBLEMS} | records))


def results(*solved: int, ids: tuple[str, ...] = ("both", "guided", "never", "self")) -> list[Result]:
    return [
        Result(
            problem_id=id,
            source="hard",
            samples=4,
            verdicts={"correct": c, "wrong": 4 - c},
            truncated=0,
            completion_tokens=4,
            longest_completion_tokens=1,
            weight_version=0,
        )
        for id, c in zip(ids, solved, strict=True)
    ]


def test_the_table_has_a_base_row_every_later_stage_and_other_problems_in_the_last() -> None:
    held_out = results(4, ids=("unseen",))
    measured = {
        "before": {"unguided": results(0, 0, 0, 0)},
        "sft": {"unguided": results(1, 0, 0, 0)},
        "after": {"unguided": results(4, 4, 0, 0), "guided": results(4, 4, 4, 4)},
        "held_out": {"unguided": held_out},
    }
    shown = [Experiment("x", (run(measured=measured),)), Experiment("y", (run(measured=measured),))]
    found = scores(shown)
    assert [(s.stage, s.arm, s.k, s.estimate.mean) for s in found if s.experiment == "x" and s.k == 1] == [
        ("before", "unguided", 1, 0.0),
        ("sft", "unguided", 1, 1 / 16),
        ("after", "unguided", 1, 0.5),
        ("after", "guided", 1, 1.0),
        ("held_out", "unguided", 1, 1.0),
    ]
    rows = table_rows(shown, found)
    assert [row.label for row in rows] == ["base, measured by x", "x, sft", "x", "y, sft", "y"]
    assert columns(rows) == [("hard", 1), ("hard", 4), ("held out", 1), ("held out", 4)]
    assert cell(rows[2], ("hard", 1)).startswith("50.0 [")
    assert to_markdown(rows).count("\n") == 2 + len(rows)
    assert cell(rows[0], ("held out", 1)) == "–"  # noqa: RUF001


def row(label: str, estimate: Estimate) -> TableRow:
    score = Score(label, "after", HARD, "unguided", 1, estimate, (0, 1), 4, 4)
    return TableRow(label, {(HARD, 1): score})


def test_only_experiments_with_several_seeds_are_compared() -> None:
    best, close, low = over_seeds([0.9, 0.92]), over_seeds([0.8, 0.9], 0, 1), over_seeds([0.1, 0.101])
    found = sentences([row("low", low), row("best", best), row("close", close), row("one", over_problems([0.0, 0.1]))])
    assert found[0].startswith("Most hard problems are solved without guidance by best: pass@1 91.0 [")
    assert found[1:] == [
        "Its 95 % interval lies above that of low.",
        "Its 95 % interval meets that of close: these seeds do not tell them apart.",
        "Not compared, for there is one seed only: one.",
    ]
    assert sentences([]) == ["No run has measured its hard problems after training yet."]


def groups(successes: list[int], bucket: str = "hard") -> list[Group]:
    return [Group("p", "unguided", bucket, i, 8, 8, float(c), c) for i, c in enumerate(successes)]


def test_cost_is_the_end_of_the_first_window_at_the_threshold() -> None:
    """80 groups, windows of 16 rollouts: from the 41st group on all is right, so window 20 is the first, by 336."""
    shown = [Experiment("x", (run(groups=groups([0] * 40 + [8] * 40)), run(seed=1, groups=groups([0] * 80))))]
    (cost,) = costs(shown)
    assert (cost.rollouts, cost.spent, cost.median_text) == ((336, None), (640, 640), "never")
    assert cost.by_seed == [(0, "336", 640), (1, "never", 640)]


def test_every_problem_is_in_one_class_of_transfer() -> None:
    found = transfer(LEDGER)
    assert found is not None
    assert +class_counts(found) == Counter(
        {"carried over": 1, "not carried over": 1, "unguided first": 1, "unsolved": 1}
    )


def test_the_share_solved_rises_at_the_steps_of_first_solves() -> None:
    learner = [{"step": "6"}]
    assert solved(run(ledger=LEDGER, learner=learner), "unguided", 2) == {0: 0.0, 1: 0.25, 2: 0.5}
    assert solved(run(ledger=LEDGER, learner=learner), "guided", 2) == {0: 0.25, 1: 0.5, 2: 0.5}


def test_problems_stand_least_solved_first_with_their_course() -> None:
    rows = problem_rows(run(ledger=LEDGER, groups=groups([2, 3])))
    assert [(r.id, r.became) for r in rows[:5]] == [
        ("guided", "guided only"),
        ("never", "unsolved"),
        ("both", "guided, then unguided"),
        ("self", "unguided first"),
    ]
    assert rows[2].courses["unguided"].points == ((1, 0.0), (5, 0.125))  # of the ledger: the groups name it nowhere
    assert [r.id for r in telling(rows, 3)] == ["both", "guided", "never"]


def test_the_points_of_a_course_are_its_groups() -> None:
    ledger = [LedgerRow("p", "unguided", 16, 5, 0)]
    (p,) = [r for r in problem_rows(run(ledger=ledger, groups=groups([2, 3]))) if r.id == "p"]
    assert p.courses["unguided"].points == ((0, 0.25), (1, 0.375))


def test_who_has_no_rollout_in_a_step_has_no_share_of_it() -> None:
    learner = [{"step": "1", "share/tokens/a/x": "1.0"}, {"step": "2", "share/tokens/b/y": "1.0"}, {"step": "3"}]
    assert shares(run(learner=learner), "share/tokens/a/x", "share/tokens/") == [(0, 1.0, 1.0), (1, 0.0, 1.0)]


@pytest.mark.parametrize(
    ("key", "words"), [("easy/hard", "easy and hard"), ("easy/easy/hard/unguided", "easy, easy and hard, unguided")]
)
def test_a_cosine_names_its_two_sides(key: str, words: str) -> None:
    assert pair(f"gradient/cosine/{key}") == words


def test_endings_add_up_by_length() -> None:
    rows = [
        Ending("hard", arm, decile, {"trained": 1, "stale": decile}, 1 + decile)
        for arm in ("a", "b")
        for decile in (1, 2)
    ]
    by_length = ended(rows, lambda row: str(row.length_decile))
    assert by_length == [Bar("1", {"trained": 2, "stale": 2}), Bar("2", {"trained": 2, "stale": 4})]


@pytest.mark.parametrize(
    ("prompt", "guidance", "expected"),
    [
        ("Problem: p\n\nPartial Response: g h\n\nGo", "g h", ("Problem: p\n\nPartial Response: ", "g h", "\n\nGo")),
        ("Partial Response: g? Partial Response: g!", "g", ("Partial Response: g? Partial Response: ", "g", "!")),
        ("Problem: g", "g", ("Problem: g", "", "")),
        ("Problem: p", None, ("Problem: p", "", "")),
        ("Partial Response: ", "", ("Partial Response: ", "", "")),
    ],
)
def test_the_guidance_is_found_where_the_prompt_puts_it(
    prompt: str, guidance: str | None, expected: tuple[str, str, str]
) -> None:
    assert split_at_guidance(prompt, guidance) == expected


def test_a_long_text_is_cut_and_says_how_much_is_missing() -> None:
    assert excerpt("\x1b" + "y" * MOST_CHARS).more_chars == 1
    assert excerpt("a\nb\x07").text == "a\nb\\x07"
