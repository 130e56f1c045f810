"""Verdicts and rewards by name and by functions of the user, which run confined and whose failures are no rewards."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.verification.exact_match import exact_match
from actors.verification.judge import Judge
from actors.verification.thoughts import DEFAULT_THOUGHTS
from conf.errors import ConfigError
from conf.schema import VerifierSettings
from tests.user_module import user_module

CHECKS = """
import socket, subprocess, time

def judge(response, answer):
    if response == "raise":
        raise RuntimeError("no idea")
    if response == "hang":
        while True:
            pass
    if response == "memory":
        return bytearray(3 * 2**30)
    if response == "network":
        socket.create_connection(("127.0.0.1", 9))
    if response == "process":
        subprocess.run(["true"])
    if response == "bool":
        return True
    return "correct" if response == answer else "wrong"

def reward(response, answer, verdict):
    return {"nan": float("nan"), "text": "much"}.get(response, len(response) / 10)
"""


@pytest.fixture(autouse=True)
def checks(tmp_path: Path) -> Iterator[None]:
    with user_module(tmp_path, "plugin_checks", CHECKS):
        yield


def judged(settings: VerifierSettings, *texts: str) -> list[tuple[str, float | None]]:
    """(verdict, reward) of each text, the reference answer being 42."""

    async def run() -> list[tuple[str, float | None]]:
        judge = Judge(settings)
        try:
            return [await judge.reward(text, "42", await judge.judge(text, "42")) for text in texts]
        finally:
            judge.close()

    return asyncio.run(run())


def test_failures_of_a_users_verifier_are_no_verdicts_and_cost_no_other_response(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = VerifierSettings(judge="plugin_checks:judge", deadline_s=0.5)
    texts = ["raise", "42", "hang", "41", "memory", "bool", "<think>42", "<think>41</think>42", "raise", "42"]
    with caplog.at_level(logging.ERROR):
        found = judged(settings, *texts)
    assert found == [
        ("crash", None), ("correct", 1.0), ("timeout", None), ("wrong", 0.0), ("crash", None), ("crash", None),
        ("no_answer", 0.0), ("correct", 1.0), ("crash", None), ("correct", 1.0),
    ]  # fmt: skip
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 4, "each failure once"
    assert told[0].startswith("verifier.judge=plugin_checks:judge failed: RuntimeError: no idea; the rollout is not")
    assert "it returned True, and a verdict is one of correct, wrong, no_answer, unparsable" in told[3]


def test_a_users_verifier_reaches_neither_the_network_nor_another_program(capfd: pytest.CaptureFixture[str]) -> None:
    found = judged(VerifierSettings(judge="plugin_checks:judge"), "network", "process")
    if "no seccomp filters" not in capfd.readouterr().err:
        assert found == [("crash", None), ("crash", None)]


def test_a_users_reward_replaces_that_of_the_verdict_and_its_failure_is_not_judged() -> None:
    settings = VerifierSettings(judge="exact_match", reward="plugin_checks:reward")
    found = judged(settings, "\\boxed{42}", "\\boxed{41}", "nan", "text", "")
    assert found == [("correct", 1.0), ("wrong", 1.0), ("crash", None), ("crash", None), ("no_answer", 0.0)]


def test_a_verifier_that_cannot_be_loaded_is_refused_before_a_process_is_started() -> None:
    with pytest.raises(ConfigError, match=r"verifier.judge=plugin_checks:judges cannot be used: .* has no judges"):
        Judge(VerifierSettings(judge="plugin_checks:judges"))


@pytest.mark.parametrize(
    ("text", "reference", "verdict"),
    [
        ("It is \\boxed{Paris}.", "Paris", "correct"),
        ("It is \\boxed{\\text{Paris }}.", "Paris", "correct"),
        ("It is \\boxed{New  York}.", "New\nYork", "correct"),
        ("It is \\boxed{paris}.", "Paris", "wrong"),
        ("It is \\boxed{0.5}.", "1/2", "wrong"),
        ("It is \\boxed{Paris} or \\boxed{Rome}.", "Paris", "wrong"),
        ("It is Paris.", "Paris", "no_answer"),
        ("<think>\\boxed{Paris}", "Paris", "no_answer"),
    ],
)
def test_exact_match_compares_boxed_answers_letter_by_letter(text: str, reference: str, verdict: str) -> None:
    assert exact_match(text, reference, DEFAULT_THOUGHTS) == verdict
