"""Judges responses; runs math-verify in child processes that can be killed.

An answer may block math-verify inside a C call, which neither an alarm nor a thread can interrupt, or exhaust memory.
Every comparison that `answer_rules` does not decide is therefore made in a worker process with a memory limit and a
deadline. The deadline counts the CPU time of the worker, so that a busy machine makes no right answer a timeout. A
worker that exceeds it ends and is replaced, and its comparison is tried once more, alone in the pool; if that exceeds
it again, the verdict on that response is `timeout`. If a worker dies, the verdict on the response it was judging is
`crash`. Other responses are not affected.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from actors.verification.answer_rules import Comparison, decide, reference_form
from actors.verification.answer_shapes import has_several_values
from actors.verification.answers import claimed_answers
from actors.verification.retry_budget import RetryBudget
from actors.verification.thoughts import DEFAULT_THOUGHTS, Thoughts
from actors.verification.verifier_workers import DeadlineExceeded, ForkServer, Worker, WorkerDied
from broker.records import Verdict
from conf.schema import VerifierSettings

COMPARISONS_PER_WORKER = 2000
"""Comparisons after which a worker is replaced, because the caches of sympy grow."""
START_S = 60.0
"""Longest start of a worker, seconds; importing math-verify takes about one."""
START_ATTEMPTS = 3
MAX_CLAIMS = 8
"""Largest number of different answers of a response that are compared one by one; with more it is wrong."""
BACKSTOP_DEADLINES, BACKSTOP_S = 10.0, 20.0
"""A worker that waits without using CPU time is killed after this many deadlines plus this many seconds."""


class VerifierUnavailable(RuntimeError):
    """The pool is closed, or no worker can be started."""


class VerifierPool:
    """`settings.workers` worker processes, used from one event loop. They end at `close` or with this process."""

    def __init__(self, settings: VerifierSettings, thoughts: Thoughts = DEFAULT_THOUGHTS) -> None:
        self._thoughts = thoughts
        self._backstop_s = BACKSTOP_DEADLINES * settings.deadline_s + BACKSTOP_S
        self._retries = RetryBudget(settings.deadline_s)
        self._alone = asyncio.Lock()
        self._fork_server = ForkServer(int(settings.memory_gib * 2**30), settings.deadline_s)
        self._closed = False
        self._workers = {Worker(self._fork_server) for _ in range(settings.workers)}
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        for worker in self._workers:
            self._idle.put_nowait(worker)

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
        self._closed = True
        for worker in self._workers:
            worker.close()
        self._fork_server.close()

    async def _compare(self, comparisons: list[dict[str, Any]]) -> Verdict:
        """The verdict of a worker. A timeout is confirmed by a second trial, as far as the retry budget allows."""
        verdict = await self._compare_with(await self._idle.get(), comparisons)
        if verdict == "timeout" and self._retries.allows(key := json.dumps(comparisons)):
            began = time.monotonic()
            verdict = await self._compare_alone(comparisons)
            self._retries.add(key, time.monotonic() - began, verdict == "timeout")
        return verdict

    async def _compare_alone(self, comparisons: list[dict[str, Any]]) -> Verdict:
        """The verdict of a new worker while all others are idle."""
        async with self._alone:
            taken: list[Worker] = []
            try:
                while len(taken) < len(self._workers):
                    taken.append(await self._idle.get())
                return await self._compare_with(self._replace(taken.pop()), comparisons)
            finally:
                for worker in taken:
                    self._idle.put_nowait(worker)

    async def _compare_with(self, worker: Worker, comparisons: list[dict[str, Any]]) -> Verdict:
        """The verdict of this worker, which becomes idle afterwards, or is replaced."""
        if self._closed:
            self._idle.put_nowait(worker)
            raise VerifierUnavailable("the verifier pool is closed")
        healthy = False
        try:
            for _ in range(START_ATTEMPTS):
                try:
                    async with asyncio.timeout(START_S):
                        await worker.start()
                    break
                except TimeoutError as error:
                    raise VerifierUnavailable(f"a verifier process did not start within {START_S:g} s") from error
                except WorkerDied:
                    worker = self._replace(worker)
            else:
                raise VerifierUnavailable(
                    f"{START_ATTEMPTS} verifier processes ended before their first verdict; see their stderr"
                )
            async with asyncio.timeout(self._backstop_s):
                verdict = await worker.compare(comparisons)
            healthy = True
            return verdict
        except (TimeoutError, DeadlineExceeded):
            return "timeout"
        except WorkerDied:
            return "crash"
        finally:  # also when cancelled: a late reply must not be read as the verdict on the next response
            if not healthy or worker.num_comparisons >= COMPARISONS_PER_WORKER:
                worker = self._replace(worker)
            self._idle.put_nowait(worker)

    def _replace(self, worker: Worker) -> Worker:
        """Kills a worker and returns a new one, or the same one if the pool is closed."""
        self._workers.discard(worker)
        worker.close()
        if self._closed:
            return worker
        replacement = Worker(self._fork_server)
        self._workers.add(replacement)
        return replacement
