"""Binary outcome reward (POPE section 2)."""

from broker.records import Verdict

_REWARDS: dict[Verdict, float | None] = {
    "correct": 1.0,
    "wrong": 0.0,
    "no_answer": 0.0,
    "unparsable": 0.0,
    "timeout": None,
    "crash": None,
}


def binary_reward(verdict: Verdict) -> float | None:
    """1 for a correct response, 0 for any other judged one; None if the verifier failed."""
    return _REWARDS[verdict]
