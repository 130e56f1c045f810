"""Why a rollout got its verdict: a sentence for each, and it agrees with the verifier."""

from typing import get_args

from actors.verification.answers import claimed_answers
from broker.records import Verdict
from deploy.view.verdict_reason import UNCLAIMED, verdict_reason


def test_every_verdict_has_a_reason() -> None:
    reasons = {verdict_reason(verdict, ("1",), truncated=False) for verdict in get_args(Verdict)}
    assert len(reasons) == len(get_args(Verdict))
    assert "" not in reasons


def test_several_answers_are_counted() -> None:
    claimed = claimed_answers(r"\boxed{1} or \boxed{2}")
    assert claimed == ("1", "2")
    assert "2 different answers" in verdict_reason("wrong", claimed, truncated=False)
    assert "more than the 8" in verdict_reason("wrong", [str(n) for n in range(9)], truncated=False)
    assert verdict_reason("correct", claimed, truncated=False).startswith("Every")


def test_a_response_that_was_cut_says_so() -> None:
    assert claimed_answers(r"so it is \boxed{4") == ()
    assert verdict_reason("no_answer", (), truncated=True) == f"{UNCLAIMED}; the token budget cut it."
    assert verdict_reason("no_answer", None, truncated=False) == f"{UNCLAIMED}."
