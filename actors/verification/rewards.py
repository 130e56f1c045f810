"""Verdict -> reward: binary outcome reward (POPE section 2)."""

from broker.records import Verdict

_REWARDS: dict[Verdict, float | None] = {
    "correct": 1.0,
    "wrong": 0.0,
    "no_answer": 0.0,
    "unparsable": 0.0,
    "timeout": None,
    "crash": None,
}


def reward(verdict: Verdict) -> float | None:
    """1 for a correct answer, 0 for one that is not; None when the verifier failed and nobody knows."""
    return _REWARDS[verdict]
