from typing import get_args

from actors.verification.rewards import binary_reward
from broker.records import Verdict


def test_only_a_correct_answer_is_rewarded_and_a_failed_verifier_gives_no_reward_at_all():
    assert {verdict: binary_reward(verdict) for verdict in get_args(Verdict)} == {
        "correct": 1.0,
        "wrong": 0.0,
        "no_answer": 0.0,
        "unparsable": 0.0,
        "timeout": None,
        "crash": None,
    }
