"""Scores, cost, sentences and the classes of problems, on numbers one can check by hand."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors.evaluation.results import Result
from broker.ledger import LedgerRow, Outcome
from broker.records import Problem
from broker.reports import GroupEnd
from conf.load import load
from deploy.report.contents import contents
from deploy.report.draw_cost import costs
from deploy.report.draw_interference import pair, shares
from deploy.report.draw_outcome import outcome
from deploy.report.draw_starvation import by_length, starvation
from deploy.report.draw_transfer import class_counts, solved, transfers
from deploy.report.experiments import Experiment
from deploy.report.figure_spec import Absent, Bar, Figure
from deploy.report.findings import sentences
from deploy.report.problem_rows import examples, problem_rows
from deploy.report.run_records import RolloutOutcomes, RunRecords
from deploy.report.scores import HARD, Score, TableRow, cell, columns, scores, table_rows, to_markdown
from deploy.report.shown_rollouts import MOST_CHARS, excerpt, split_at_guidance
from deploy.statistics.estimates import Estimate, over_problems, over_seeds
from deploy.statistics.transfer import transfer
from tests.reports import ended, learner_step

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


def run(name: str = "a", seed: int = 0, settings: tuple[str, ...] = (), **records: Any) -> RunRecords:
    config = load(None, [f"run.seed={seed}", "evaluation.k=[1,4]", *settings])
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
            policy_version=0,
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
    assert [row.label for row in rows] == ["base, measured by x", "x (sft)", "x", "y (sft)", "y"]
    assert columns(rows) == [("hard", 1), ("hard", 4), ("held out", 1), ("held out", 4)]
    assert cell(rows[2], ("hard", 1)).startswith("50.0 [")
    assert to_markdown(rows).count("\n") == 2 + len(rows)
    assert cell(rows[0], ("held out", 1)) == "–"  # noqa: RUF001


def test_experiments_that_were_sampled_differently_share_no_base_and_say_how() -> None:
    measured = {"before": {"unguided": results(0, 0, 0, 0)}, "after": {"unguided": results(4, 4, 0, 0)}}
    alike = [Experiment(name, (run(f"{name}-s0", measured=measured),)) for name in ("x", "y")]
    assert [row.label for row in table_rows(alike, scores(alike))] == ["base, measured by x", "x", "y"]
    cool = run("z-s0", settings=("evaluation.temperature=0.6",), measured=measured)
    shown = [alike[0], Experiment("z", (cool,))]
    hot, how = "temperature 1, at most 256 tokens", "temperature 0.6, at most 256 tokens"
    labels = [f"base, measured by x, {hot}", f"base, measured by z, {how}", f"x, {hot}", f"z, {how}"]
    assert [row.label for row in table_rows(shown, scores(shown))] == labels
    (note,) = [note for note in contents(shown, 0).notes if "sampled differently" in note]
    assert note.endswith(f"x: {hot}; z: {how}.")
    assert not any("sampled differently" in note for note in contents(alike, 0).notes)


def partly_measured() -> list[Experiment]:
    """x: three seeds, one of them measured after training; y: measured before training only."""
    before = {"before": {"unguided": results(0, 0, 0, 0)}}
    done = run("x-s0", measured=before | {"after": {"unguided": results(4, 4, 0, 0)}})
    others = [run(f"x-s{seed}", seed, measured=before) for seed in (1, 2)]
    return [Experiment("x", (done, *others)), Experiment("y", (run("y-s0", measured=before),))]


def test_a_score_says_when_seeds_are_not_measured() -> None:
    shown = partly_measured()
    rows = {row.label: row for row in table_rows(shown, scores(shown))}
    assert cell(rows["x"], (HARD, 1)).endswith("] (1 of 3 seeds)")
    assert cell(rows["base, measured by x"], (HARD, 1)).endswith("]")
    assert "x: after was measured for seed 0 only, of seeds 0, 1, 2." in contents(shown, 0).notes


def test_a_measurement_before_training_is_not_shown_as_a_result() -> None:
    shown = partly_measured()
    figure = outcome(shown, scores(shown))
    assert isinstance(figure, Figure)
    assert [row[:4] for row in figure.rows if row[0] == "pass@1"] == [("pass@1", "x (1 of 3 seeds)", 0.0, 0.5)]
    assert figure.about == "x: seeds 0, 1, 2; 0 steps"
    assert isinstance(outcome(shown[1:], scores(shown[1:])), Absent)


def test_a_stage_has_the_same_line_style_in_every_panel() -> None:
    """One legend serves all panels, so a stage must look the same in all of them."""
    figure = transfers(partly_measured())[-1]
    assert isinstance(figure, Figure)
    drawn = [line for axis in figure.paint().axes for line in axis.lines if len(line.get_xdata()) == 4]
    assert sorted(line.get_linestyle() for line in drawn if line.get_marker() == ".") == ["-", ":", ":"]


def row(label: str, estimate: Estimate) -> TableRow:
    score = Score(label, "after", HARD, "unguided", 1, estimate, (0, 1), 2, 4, 4)
    return TableRow(label, {(HARD, 1): score})


def test_only_experiments_with_several_seeds_are_compared() -> None:
    best, close, low = over_seeds([0.9, 0.92]), over_seeds([0.8, 0.9], 0, 1), over_seeds([0.1, 0.101])
    found = sentences([row("low", low), row("best", best), row("close", close), row("one", over_problems([0.0, 0.1]))])
    assert found[0].startswith("best solves the most hard problems without guidance: pass@1 91.0 [")
    assert found[1:] == [
        "Its 95 % interval is above that of low.",
        "Its 95 % interval overlaps with that of close: these seeds do not separate them.",
        "Not compared (a single seed): one.",
    ]
    assert sentences([row("one", over_problems([0.0, 0.1]))])[0].endswith("% (bootstrap over problems, 1 of 2 seeds).")
    assert sentences([]) == ["No run has measured its hard problems after training yet."]


def groups(successes: list[int], bucket: str = "hard") -> list[GroupEnd]:
    return [ended(count, problem_id="p", bucket=bucket, step=i) for i, count in enumerate(successes)]


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
    learner = [learner_step(6)]
    assert solved(run(ledger=LEDGER, learner=learner), "unguided", 2) == {0: 0.0, 1: 0.25, 2: 0.5}
    assert solved(run(ledger=LEDGER, learner=learner), "guided", 2) == {0: 0.25, 1: 0.5, 2: 0.5}


def test_problems_stand_least_solved_first_with_their_history() -> None:
    rows = problem_rows(run(ledger=LEDGER, groups=groups([2, 3])))
    assert [(r.id, r.first_solved) for r in rows[:5]] == [
        ("guided", "guided only"),
        ("never", "unsolved"),
        ("both", "guided, then unguided"),
        ("self", "unguided first"),
    ]
    assert rows[2].by_arm["unguided"].points == ((1, 0.0), (5, 0.125))  # from the ledger: no group is of this problem
    assert [r.id for r in examples(rows, 3)] == ["both", "guided", "never"]


def test_the_points_of_a_history_are_its_groups() -> None:
    ledger = [LedgerRow("p", "unguided", 16, 5, 0)]
    (p,) = [r for r in problem_rows(run(ledger=ledger, groups=groups([2, 3]))) if r.id == "p"]
    assert p.by_arm["unguided"].points == ((0, 0.25), (1, 0.375))


def test_an_arm_without_a_rollout_in_a_step_has_a_share_of_zero() -> None:
    learner = [learner_step(1, token_share={"a/x": 1.0}), learner_step(2, token_share={"b/y": 1.0}), learner_step(3)]
    assert shares(run(learner=learner), "a/x", lambda step: step.token_share) == [(0, 1.0, 1.0), (1, 0.0, 1.0)]


@pytest.mark.parametrize(
    ("parts", "words"), [("easy/hard", "easy and hard"), ("easy/easy/hard/unguided", "easy, easy and hard, unguided")]
)
def test_a_cosine_names_its_two_sides(parts: str, words: str) -> None:
    assert pair(parts) == words


def outcome_rows(arm: str, bucket: str) -> list[RolloutOutcomes]:
    return [
        RolloutOutcomes(bucket, arm, 10, {"trained": 1, "stale": 1}, 2, truncated=1, tokens=(1000, 1200)),
        RolloutOutcomes(bucket, arm, 1, {"trained": 1, "stale": 8}, 9, verifier_failure=3, tokens=(3, 55)),
        RolloutOutcomes(bucket, arm, None, {"in_flight": 4}, 4),
    ]


def test_a_bar_of_lengths_names_its_tokens_and_its_rollouts() -> None:
    assert by_length(outcome_rows("a", "hard"), "hard") == [
        Bar("3-55, n 9", {"trained": 1, "stale": 8}, {"truncated": 0, "verifier_failure": 3}),
        Bar("1,000-1,200, n 2", {"trained": 1, "stale": 1}, {"truncated": 1, "verifier_failure": 0}),
        Bar("never written, n 4", {"in_flight": 4}, {"truncated": 0, "verifier_failure": 0}),
    ]
    old = [RolloutOutcomes("hard", "a", 2, {"trained": 1}, 1)]
    assert [bar.label for bar in by_length(old, "hard")] == ["decile 2, n 1"]


def test_deciles_of_similar_length_share_a_bar() -> None:
    """Ten deciles of one seed and ten of another whose rollouts are a token longer: ten bars of two deciles each."""
    rows = [
        RolloutOutcomes("hard", "a", decile, {"trained": 5}, 5, tokens=(10 * decile + seed, 10 * decile + 8 + seed))
        for seed in (0, 1)
        for decile in range(1, 11)
    ]
    assert [bar.label for bar in by_length(rows, "hard")] == [f"{10 * d}-{10 * d + 9}, n 10" for d in range(1, 11)]
    tied = [RolloutOutcomes("hard", "a", 1, {"trained": 99}, 99, tokens=(48, 48)), *outcome_rows("a", "hard")]
    labels = [bar.label for bar in by_length(tied, "hard")]
    assert labels == ["3-55, n 9", "48, n 99", "1,000-1,200, n 2", "never written, n 4"]


def test_lengths_have_a_panel_for_each_bucket() -> None:
    shown = [
        Experiment("x", (run(rollout_outcomes=[*outcome_rows("unguided", "hard"), *outcome_rows("easy", "easy")]),)),
        Experiment("y", (run(rollout_outcomes=outcome_rows("unguided", "hard")),)),
    ]
    figure = starvation(shown)[-1]
    assert isinstance(figure, Figure)
    assert list(dict.fromkeys(row[0] for row in figure.rows)) == ["x: hard", "x: easy", "y"]
    assert figure.columns[-2:] == ("truncated_in_bar", "verifier_failure_in_bar")
    assert {row[1:] for row in figure.rows if row[2] == "stale"} == {
        ("3-55, n 9", "stale", 8, 8 / 9, 0, 3),
        ("1,000-1,200, n 2", "stale", 1, 0.5, 1, 0),
        ("never written, n 4", "stale", 0.0, 0.0, 0, 0),
    }


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
