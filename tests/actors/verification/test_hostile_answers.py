"""No answer takes longer than two deadlines, and no wrong answer is accepted."""

import asyncio

import psutil
import pytest

from actors.verification.answer_rules import Comparison, decide
from actors.verification.answers import claimed_answers
from actors.verification.verifier import VerifierPool
from conf.schema import VerifierSettings
from tests.actors.hostile import BOXED, GOLDS, RESPONSES
from tests.yardstick import loops

pytestmark = pytest.mark.alone

DEADLINE_S = 0.25
OVERHEAD_S = 0.2
RIGHT = {("million_closing_braces", "42"), ("full_width_digits", "42"), ("arabic_digits", "42")}
"""The braces follow the box; the digits are 42."""
CASES = {**{name: f"So it is \\boxed{{{answer}}}." for name, answer in BOXED.items()}, **RESPONSES}


def cpu_time_s(verifier):
    """CPU time of all workers so far, of those that ended and of those that live, in seconds."""
    server = psutil.Process(verifier._fork_server._process.pid)
    ended, live = server.cpu_times(), [worker.cpu_times() for worker in server.children()]
    return ended.children_user + ended.children_system + sum(times.user + times.system for times in live)


def test_every_hostile_response_has_a_verdict_within_two_deadlines():
    """A timeout is tried a second time."""

    async def run():
        outcomes = {}
        verifier = VerifierPool(VerifierSettings(workers=1, deadline_s=DEADLINE_S))
        try:
            for name, text in CASES.items():
                for gold in GOLDS:
                    assert await verifier.judge("\\boxed{1+x}", "x+1") == "correct"
                    before_s = cpu_time_s(verifier)
                    verdict = await verifier.judge(text, gold)
                    outcomes[name, gold] = verdict, cpu_time_s(verifier) - before_s
        finally:
            verifier.close()
        return outcomes

    outcomes = asyncio.run(run())
    assert {case: took for case, (_, took) in outcomes.items() if took > 2 * DEADLINE_S + OVERHEAD_S} == {}
    assert {case for case, (verdict, _) in outcomes.items() if verdict == "correct"} == RIGHT
    assert {case for case, (verdict, _) in outcomes.items() if verdict == "crash"} == set()


def test_against_a_plain_number_next_to_nothing_reaches_math_verify():
    asked = [name for name, answer in BOXED.items() if isinstance(decide("42", answer), Comparison)]
    assert len(asked) < len(BOXED) / 3
    costly = {"tower", "factorial", "binomial", "sum", "product", "integral", "limit", "deep_fraction", "big_power"}
    assert not costly & set(asked)


@pytest.mark.parametrize("name", CASES)
def test_the_rules_themselves_take_no_time(name):
    def apply():
        for answer in claimed_answers(CASES[name])[:8]:
            for gold in GOLDS:
                decide(gold, answer)

    assert loops(apply) < 20
