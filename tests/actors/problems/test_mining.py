"""Mining: the bucket of a problem, when it is certain, and which samples are evidence."""

import itertools

import pytest

from actors.evaluation.results import merge
from actors.problems.mining import MiningPlan, decide_bucket
from broker.records import Problem, Task
from conf.schema import MiningSettings
from tests.actors.plans import result, sample

SETTINGS = MiningSettings(samples=128)
PROBLEMS = [Problem(id=f"p{i}", statement=f"Problem {i}.", answer="1", bucket="hard", source="t") for i in range(6)]


@pytest.mark.parametrize(
    ("successes", "bucket"),
    [(0, "hard"), (1, None), (25, None), (26, "easy"), (51, "easy"), (52, None), (64, "easier"), (89, "easier"),
     (90, None)],
)  # fmt: skip
def test_the_bucket_is_the_interval_that_contains_the_solve_rate(successes, bucket):
    """0.2 * 128 = 25.6, 0.4 * 128 = 51.2, 0.5 * 128 = 64, 0.7 * 128 = 89.6."""
    assert decide_bucket(result("p", successes, 128), SETTINGS)[0] == bucket


def test_sampling_stops_as_soon_as_the_bucket_is_certain():
    """With 90 of 96 samples correct the final rate is between 90/128 = 0.703 and 122/128: above easier."""
    assert decide_bucket(result("p", 90, 96), SETTINGS)[0] is None
    assert "certain after 96 of 128" in decide_bucket(result("p", 90, 96), SETTINGS)[1]
    assert decide_bucket(result("p", 89, 96), SETTINGS) is None
    only_hard = MiningSettings(samples=128, buckets={"hard": [0.0, 0.0]}, min_evidence=0.0)
    assert decide_bucket(result("p", 1, 16), only_hard)[0] is None
    assert decide_bucket(result("p", 0, 112), only_hard) is None
    assert decide_bucket(result("p", 0, 128), only_hard)[0] == "hard"


def test_stopping_early_never_changes_the_bucket():
    """By brute force: every continuation of an early stop ends in the same bucket."""
    buckets = {"hard": [0.0, 0.0], "easy": [0.2, 0.4], "easier": [0.5, 0.7]}
    settings = MiningSettings(samples=12, buckets=buckets, min_evidence=0)
    for taken in range(1, 12):
        for successes, unfinished in itertools.product(range(taken + 1), range(taken + 1)):
            if successes + unfinished > taken:
                continue
            now = result("p", successes, taken, unfinished=unfinished)
            early = decide_bucket(now, settings)
            if early is None:
                continue
            left = 12 - taken
            ends = set()
            for more, cut in itertools.product(range(left + 1), range(left + 1)):
                if more + cut <= left:
                    end = merge([now, result("p", more, left, unfinished=cut)])
                    if end.evidence:
                        ends.add(decide_bucket(end, settings)[0])
            assert ends <= {early[0]}, (now, early, ends)


def test_a_sample_cut_by_the_token_budget_is_no_evidence():
    assert decide_bucket(result("p", 0, 128, unfinished=60), SETTINGS)[0] == "hard"
    bucket, reason = decide_bucket(result("p", 0, 128, unfinished=65), SETTINGS)
    assert bucket is None
    assert reason.startswith("65 of 128 samples were cut by the token budget")
    bucket, reason = decide_bucket(result("p", 0, 128, unjudged=70), SETTINGS)
    assert bucket is None
    assert "70 not judged" in reason
    # 40 of 80 finished samples are solved; the 48 cut ones do not count.
    assert decide_bucket(result("p", 40, 128, unfinished=48), SETTINGS)[0] == "easier"


def test_mining_samples_in_rounds_and_counts_everything():
    rates = {"p0": 0.0, "p1": 1.0, "p2": 0.3, "p3": 0.6, "p4": 0.05, "p5": 0.0}
    plan = MiningPlan(PROBLEMS, SETTINGS, seed=0)
    rollouts = sample(plan, lambda task: rates[task.problem_id])
    mined = {record.problem_id: record for record in plan.mined()}
    assert sum(record.samples for record in mined.values()) == rollouts
    assert [mined[f"p{i}"].bucket for i in range(6)] == ["hard", None, "easy", "easier", None, "hard"]
    assert mined["p1"].samples == 96, "all correct: certainly above 0.7 after 96"
    assert mined["p0"].samples == 128
    assert (mined["p0"].lower, round(mined["p0"].upper, 4)) == (0.0, 0.0291)  # z^2 / (n + z^2) = 3.8415 / 131.8415
    assert mined["p0"].mean_completion_tokens == 10


def test_mining_does_not_depend_on_the_order_of_results():
    outcomes = []
    for order in range(5):
        plan = MiningPlan(PROBLEMS, SETTINGS, seed=2)
        sample(plan, lambda task: 0.1 * int(task.problem_id[1:]), order=order)
        outcomes.append(plan.mined())
    assert all(each == outcomes[0] for each in outcomes)


def test_every_task_of_a_mining_run_has_its_own_seed():
    plan = MiningPlan(PROBLEMS, SETTINGS, seed=0)
    log: list = []
    sample(plan, lambda task: 0.0, log=log)
    seeds = [task.seed for task, _ in log]
    assert len(set(seeds)) == len(seeds) == 6 * 8
    assert all(0 <= seed < 2**31 and seed % 256 == 0 for seed in seeds), "vLLM adds the index of the rollout"


def test_a_problem_that_cannot_be_sampled_is_recorded_with_its_reason():
    plan = MiningPlan(PROBLEMS[:2], SETTINGS, seed=0)
    tasks: list[Task] = plan.tasks()
    plan.fail(tasks[0], "prompt_too_long")
    assert plan.num_done == 1
    assert plan.failed == {"p0": "prompt_too_long"}
    with pytest.raises(ValueError, match="no such task"):
        plan.record(tasks[0], result("p0", 0, 16))
