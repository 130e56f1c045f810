"""Judges responses; runs math-verify in child processes that can be killed.

An answer may block math-verify inside a C call, which neither an alarm nor a thread can interrupt, or exhaust memory.
Every comparison that `answer_rules` does not decide is therefore made in a worker process with a memory limit and a
deadline. The deadline counts the CPU time of the worker, so that a busy machine makes no right answer a timeout.

Nearly all comparisons take milliseconds, and a few take forever. Each is first made in the quick lane, for at most
`QUICK_S`; one that takes longer goes to the slow lane, which has the whole deadline. So an ordinary answer waits for a
hostile one `QUICK_S` at most, and the quick lane has more workers while answers wait. A comparison that exceeds the
deadline is tried once more, alone in the slow lane; if that exceeds it again, the verdict on that response is
`timeout`, and so it is whenever the same comparison comes again. If a worker dies, the verdict on the response it was
judging is `crash`. Other responses are not affected.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from actors.verification.answer_rules import Comparison, decide, reference_form
from actors.verification.answer_shapes import has_several_values
from actors.verification.answers import claimed_answers
from actors.verification.retry_budget import RetryBudget
from actors.verification.thoughts import DEFAULT_THOUGHTS, Thoughts
from actors.verification.verifier_lane import Failure, VerifierLane
from actors.verification.verifier_workers import ForkServer
from broker.records import Verdict
from conf.schema import VerifierSettings

QUICK_S = 0.25
"""CPU time of a comparison in the quick lane, seconds."""
GROWTH = 4
"""The quick lane has up to this many times `verifier.workers` while comparisons wait."""
MAX_CLAIMS = 8
"""Largest number of different answers of a response that are compared one by one; with more it is wrong."""


class VerifierPool:
    """The worker processes of one actor, used from one event loop. They end at `close` or with this process."""

    def __init__(self, settings: VerifierSettings, thoughts: Thoughts = DEFAULT_THOUGHTS) -> None:
        self._thoughts = thoughts
        self._retries = RetryBudget(settings.deadline_s)
        self._alone = asyncio.Lock()
        self._fork_server = ForkServer(int(settings.memory_gib * 2**30))
        workers, deadline_s = settings.workers, settings.deadline_s
        quick_s = min(QUICK_S, deadline_s)
        self._quick_is_all = quick_s == deadline_s
        self._quick = VerifierLane(self._fork_server, base=workers, most=GROWTH * workers, deadline_s=quick_s)
        self._slow = VerifierLane(self._fork_server, base=0, most=workers, deadline_s=deadline_s)

    async def judge(self, text: str, reference: str) -> Verdict:
        """Verdict on a response: `correct` if all answers it claims are correct, or if they are its several values.

        Raises VerifierUnavailable.
        """
        answers = claimed_answers(text, self._thoughts)
        if not answers:
            return "no_answer"
        verdict = await self._judge_claims(answers, reference) if len(answers) <= MAX_CLAIMS else "wrong"
        if verdict in ("wrong", "unparsable") and len(answers) > 1 and has_several_values(reference):
            return await self._judge_claims((", ".join(answers),), reference)  # each value has a box of its own
        return verdict

    async def _judge_claims(self, answers: Sequence[str], reference: str) -> Verdict:
        """`correct` if all answers are."""
        decisions = [decide(reference, answer) for answer in answers]
        for refused in ("wrong", "unparsable"):
            if refused in decisions:
                return refused
        comparisons = [decision for decision in decisions if isinstance(decision, Comparison)]
        if not comparisons:
            return "correct"
        return await self._compare([{"references": each.references, "answer": each.answer} for each in comparisons])

    async def judge_reference(self, reference: str) -> Verdict:
        """`correct` if math-verify can parse a reference answer, else `unparsable`, `timeout` or `crash`."""
        return await self._compare([{"references": [reference_form(reference)], "answer": None}])

    def close(self) -> None:
        """Kills all workers. Responses that are being judged get `timeout` or `crash`."""
        self._quick.close()
        self._slow.close()
        self._fork_server.close()

    async def _compare(self, comparisons: list[dict[str, Any]]) -> Verdict:
        """The verdict of a worker. A timeout is confirmed by a second trial, as far as the retry budget allows."""
        key = json.dumps(comparisons)
        if self._retries.is_known(key):
            return "timeout"
        verdict = _verdict(await self._quick.ask(comparisons))
        if verdict == "timeout" and not self._quick_is_all:
            verdict = _verdict(await self._slow.ask(comparisons))
        if verdict == "timeout" and self._retries.allows(key):
            async with self._alone:
                began = time.monotonic()
                verdict = _verdict(await self._slow.ask_alone(comparisons))
                self._retries.add(key, time.monotonic() - began, verdict == "timeout")
        return verdict


def _verdict(reply: bytes | Failure) -> Verdict:
    if isinstance(reply, str):
        return reply
    verdict: Verdict = msgspec.json.decode(reply, type=Verdict)
    return verdict
