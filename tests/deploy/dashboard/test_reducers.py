"""Reports -> what the dashboard shows, with numbers that can be checked by hand."""

import random
from collections import defaultdict
from typing import Any

import pytest

from broker.ledger import LedgerRow, Outcome
from broker.reports import GroupEnd
from deploy.dashboard.dropped_groups import DroppedGroups, DropRow, length_class
from deploy.dashboard.problem_history import ProblemHistory
from deploy.dashboard.rates import Rates
from deploy.dashboard.recent_rollouts import RecentRollouts, split_tokens
from deploy.dashboard.steps import Steps
from deploy.statistics.transfer import transfer
from tests.reports import actor_output, ended, learner_step, preprocess_work, weight_sync


def group(step: int, successes: int, **fields: Any) -> GroupEnd:
    return ended(successes, step=step, **{"problem_id": fields.pop("problem", "p0"), **fields})


def test_a_step_adds_up_what_happened_under_its_weights() -> None:
    steps = Steps()
    steps.add_groups([group(3, 2), group(3, 4), group(3, 8, arm="guided", outcome="zero_advantage")])
    steps.add_groups([group(4, 1, judged=4, truncated=2)])
    assert steps.rows[3]["success/unguided"] == 6 / 16
    assert steps.rows[3]["success/guided"] == 1.0
    assert steps.rows[3]["kept"] == 2 / 3
    assert steps.rows[4]["success/unguided"] == 1 / 4
    assert steps.rows[4]["unjudged"] == 4 / 8
    assert steps.rows[4]["cut"] == 2 / 8


def test_solved_counts_a_hard_problem_once() -> None:
    steps = Steps()
    steps.add_groups([group(0, 0), group(1, 1), group(2, 8), group(2, 1, problem="p1")])
    steps.add_groups([group(3, 5, problem="e", bucket="easy")])
    assert [steps.rows[s].get("solved/unguided") for s in range(4)] == [0, 1, 2, None]


def test_reports_of_the_learner_become_columns() -> None:
    steps = Steps()
    parts = {"advantage_share": 0.75, "token_share": 1.0, "reward_change": 0.1}
    by_part = {name: {"hard/guided": value} for name, value in parts.items()}
    steps.add_learner([learner_step(7, loss=0.5, ess=0.9, reward_mean={"guided": 0.25}, **by_part)])
    expected = {
        "loss": 0.5, "ess": 0.9, "reward/guided": 0.25, "advantage/guided": 0.75, "grad_norm": 0.3, "entropy": 0.2,
        "learning_rate": 0.0005, "clip_share": 0.0, "ratio_max": 1.4, "logprob_rms": 0.02,
        "logprob_rms_lag0": 1e-5, "lag_mean": 1.25, "lag_max": 2.0, "step_s": 0.5, "trained_per_s": 6000.0,
    }  # fmt: skip
    assert steps.rows == {7: expected}
    assert steps.changed() == [7]
    assert steps.changed() == []


def test_tokens_per_second_adds_up_the_engines() -> None:
    steps = Steps()
    for actor, moment_ms, tokens in [("a", 0, 999), ("b", 0, 999), ("a", 2000, 400), ("b", 4000, 400)]:
        steps.add_outputs([actor_output(5, id=f"{moment_ms}-0", actor=actor, tokens=tokens)])
    assert steps.rows[5]["written_per_s"] == 400 / 2 + 400 / 4
    steps.add_syncs([weight_sync(6, actor="a", stall_ms=50.0)])
    steps.add_syncs([weight_sync(6, actor="b", stall_ms=70.0)])
    assert steps.rows[6]["stall_ms"] == 70


def test_queue_lengths_are_means_over_the_step() -> None:
    steps = Steps()
    for ring in (8, 16):
        steps.add_preprocess([preprocess_work(2, ring_samples=ring, stream_groups=1)])
    assert steps.rows[2] == {"ring": 12.0, "stream": 1.0}


def test_a_problem_is_tested_for_transfer_after_four_unguided_groups_since_its_guided_solve() -> None:
    problems = ProblemHistory()
    problems.add([group(1, 0, problem="early") for _ in range(4)])  # before its guided solve
    problems.add([group(2, 1, problem=name, arm="guided") for name in ("early", "tried", "carried")])
    problems.add([group(3, 0, problem="tried") for _ in range(4)])
    problems.add([group(3, 2, problem="carried"), group(3, 0, problem="early")])
    assert problems.tested() == (2, 1)


def test_the_heat_map_holds_one_cell_a_group() -> None:
    problems = ProblemHistory()
    problems.add([group(0, 2, problem="b"), group(1, 3, problem="a", arm="guided"), group(2, 4, problem="b")])
    assert problems.ids == ["b", "a"]
    assert problems.arms == ["unguided", "guided"]
    assert problems.cells == [(0, 0, 0, 2, 8), (1, 1, 1, 3, 8), (0, 0, 2, 4, 8)]
    assert [row.step for row in problems.history("b")] == [0, 2]
    assert problems.history("nobody") == []


def test_transfer_equals_that_of_a_ledger_of_the_same_groups() -> None:
    """The ledger is computed by a plain loop over the same groups."""
    rng = random.Random(3)
    reports = [
        group(step, rng.choice([0, 0, 0, 1, 5]), arm=rng.choice(["guided", "unguided"]), problem=f"p{rng.randrange(9)}")
        for step in range(150)
    ]
    problems = ProblemHistory()
    problems.add(reports)
    by_row: dict[tuple[str, str], list[GroupEnd]] = defaultdict(list)
    for report in reports:
        by_row[report.problem_id, report.arm].append(report)
    ledger = [
        LedgerRow(
            problem, arm, 8 * len(mine), sum(r.successes for r in mine),
            min((r.step for r in mine if r.successes), default=None),
            tuple(Outcome(r.step, r.successes, 8) for r in mine[-16:]),
        )
        for (problem, arm), mine in by_row.items()
    ]  # fmt: skip
    expected = transfer(ledger)
    assert expected is not None
    assert expected.guided_first
    assert problems.transfer() == expected


def test_dropped_groups_are_counted_by_reason_bucket_and_length() -> None:
    drops = DroppedGroups()
    kept = [group(0, 1, group_id=n, completion_tokens=8 * 40) for n in range(3)]
    drops.add([*kept, group(0, 0, group_id=9, outcome="zero_advantage", completion_tokens=8 * 300)], [])
    drops.add([], [{"ordinal": "1", "meta": "8 0 unguided p0"}])
    assert drops.rows() == [
        DropRow("kept", "hard", 64, 2),
        DropRow("replaced", "hard", 64, 1),
        DropRow("zero_advantage", "hard", 512, 1),
    ]
    drops.add([], [{"ordinal": "77", "meta": "8 0 unguided p0"}])
    assert DropRow("replaced", "unknown", 0, 1) in drops.rows()


@pytest.mark.parametrize(("tokens", "longest"), [(0, 32), (32, 32), (33, 64), (64, 64), (65, 128), (16384, 16384)])
def test_each_length_class_is_twice_as_long_as_the_one_before(tokens: float, longest: int) -> None:
    assert length_class(tokens) == longest


def test_rates_are_means_over_the_window_and_idle_time_is_reported() -> None:
    rates = Rates()
    for second in range(31):
        rates.add(second, {"claim": 3 * second, "train": min(second, 20)})
    assert rates.per_s("claim") == 3
    assert rates.per_s("train") == 0
    assert rates.idle_s("claim") == 0
    assert rates.idle_s("train") == 10
    fresh = Rates()
    fresh.add(0, {"claim": 5})
    assert fresh.per_s("claim") is None
    assert fresh.idle_s("claim") is None


SAMPLE = {
    "id": "2000-0", "problem": "p0", "arm": "guided", "verdict": "correct", "reward": "1.0", "version": "42",
    "ordinal": "7", "index": "2", "spans": "0:41 2:42", "prompt": "solve this now", "guidance": "6:10",
    "completion": "a=4 and more", "completion_tokens": "9", "token_chars": "2 0 1", "logprobs": "-0.5 -1 -2",
}  # fmt: skip


def test_a_rollout_is_shown_token_by_token() -> None:
    rollouts = RecentRollouts()
    rollouts.add([SAMPLE], [{"id": "1-0", "ordinal": "7", "index": "2", "step": "44", "ratios": "1 0.5 2"}])
    (rollout,) = rollouts.of("p0")
    assert (rollout.before, rollout.guidance, rollout.after) == ("solve ", "this", " now")
    assert [(t.text, t.version, t.logprob, t.ratio) for t in rollout.tokens] == [
        ("a=", 41, -0.5, 1.0),
        ("", 41, -1.0, 0.5),
        ("4", 42, -2.0, 2.0),
    ]
    assert rollout.rest == " and more"
    assert (rollout.trained_step, rollout.reward, rollout.at_s) == (44, 1.0, 2.0)


def test_a_rollout_has_gold_answer_claimed_answers_and_a_reason() -> None:
    rollouts = RecentRollouts()
    rollouts.add([SAMPLE | {"verdict": "wrong", "answer": "5", "claimed": '["4", "6"]', "finish": "stop"}], [])
    (rollout,) = rollouts.of("p0")
    assert (rollout.answer, rollout.claimed) == ("5", ["4", "6"])
    assert rollout.reason.startswith("It claims 2 different answers")


def test_a_sample_without_token_fields_is_shown_as_plain_text() -> None:
    known = ("id", "problem", "arm", "verdict", "version", "prompt", "completion")
    old = {name: value for name, value in SAMPLE.items() if name in known}
    rollouts = RecentRollouts()
    rollouts.add([old], [])
    (rollout,) = rollouts.of("p0")
    assert (rollout.before, rollout.guidance) == ("solve this now", "")
    assert (rollout.tokens, rollout.rest) == ([], "a=4 and more")
    assert (rollout.reward, rollout.group_id, rollout.trained_step) == (None, None, None)
    assert (rollout.answer, rollout.claimed) == (None, None)
    assert [headline.text for headline in rollouts.headlines(3)] == ["a=4 and more"]


def test_version_spans_beyond_the_kept_tokens_are_ignored() -> None:
    entry = {"token_chars": "1 1 1", "spans": "0:4 1:5 900:6"}
    tokens, rest = split_tokens("abcdef", entry, None)
    assert [t.version for t in tokens] == [4, 5, 5]
    assert rest == "def"
