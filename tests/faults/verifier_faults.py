"""Faults of the verifier's processes."""

import asyncio
import os
import random
import signal
import time
from pathlib import Path

import psutil

from actors.verification.verifier import VerifierPool
from conf.schema import VerifierSettings
from tests.actors.hostile import BOXED
from tests.faults.outcome import Outcome

DEADLINE_S = 1.0
MARGIN_S = 12.0
"""The deadline is CPU time and tried twice; on an idle machine a verdict comes within 0.2 s of two deadlines."""
ROUNDS = 2
ANSWER, RIGHT, WRONG = "x+1", "\\boxed{1+x}", "\\boxed{2+x}"


def verifier_fault(root: Path, seed: int) -> Outcome:
    """F18: answers that hang, a worker that dies, all workers dying at once: only the verdict at hand is affected."""
    outcome = Outcome()
    asyncio.run(_inject(random.Random(seed), outcome))
    return outcome


async def _inject(rng: random.Random, outcome: Outcome) -> None:
    pool = VerifierPool(VerifierSettings(workers=2, deadline_s=DEADLINE_S))
    try:
        await _require_verdicts(pool, outcome, count=2)
        for _ in range(ROUNDS):
            for fault in rng.sample((_hang, _segfault, _all_die, _hostile), 4):
                verdict, wanted, began = await fault(pool, rng)
                outcome.injected += 1
                outcome.require(verdict in wanted, f"{fault.__name__}: {verdict}, not {' or '.join(wanted)}")
                took_s = time.monotonic() - began
                outcome.require(took_s < DEADLINE_S + MARGIN_S, f"{fault.__name__}: a verdict after {took_s:.1f} s")
                await _require_verdicts(pool, outcome, count=4)
                outcome.recovery_s.append(time.monotonic() - began)
    finally:
        pool.close()


async def _require_verdicts(pool: VerifierPool, outcome: Outcome, count: int) -> None:
    """Require correct verdicts on ordinary answers, judged concurrently. Three tries: a worker may be starting."""
    for text, verdict in ((RIGHT, "correct"), (WRONG, "wrong")):
        for _ in range(3):
            verdicts = await asyncio.gather(*(pool.judge(text, ANSWER) for _ in range(count)))
            if verdicts == [verdict] * count:
                break
        outcome.require(verdicts == [verdict] * count, f"an ordinary answer is {verdicts}, not {verdict}")


def _endless(rng: random.Random) -> str:
    """An answer that takes hours, another one each time: one that timed out twice is not tried again."""
    return f"\\boxed{{{BOXED['powers_of_sums']}+{rng.randrange(10**9)}}}"


async def _hang(pool: VerifierPool, rng: random.Random) -> tuple[str, tuple[str, ...], float]:
    began = time.monotonic()
    return await pool.judge(_endless(rng), ANSWER), ("timeout",), began


async def _segfault(pool: VerifierPool, rng: random.Random) -> tuple[str, tuple[str, ...], float]:
    verdict = asyncio.create_task(pool.judge(_endless(rng), ANSWER))
    await asyncio.sleep(rng.uniform(0.05, DEADLINE_S / 2))
    began = time.monotonic()
    for worker in _workers(pool):  # one of them judges the answer
        os.kill(worker, signal.SIGSEGV)
    return await verdict, ("crash",), began


async def _all_die(pool: VerifierPool, rng: random.Random) -> tuple[str, tuple[str, ...], float]:
    verdict = asyncio.create_task(pool.judge(_endless(rng), ANSWER))
    await asyncio.sleep(rng.uniform(0.05, DEADLINE_S / 2))
    began = time.monotonic()
    os.kill(pool._fork_server._process.pid, signal.SIGKILL)
    return await verdict, ("crash",), began


async def _hostile(pool: VerifierPool, rng: random.Random) -> tuple[str, tuple[str, ...], float]:
    began = time.monotonic()
    verdict = await pool.judge(f"\\boxed{{{rng.choice(list(BOXED.values()))}}}", ANSWER)
    return verdict, ("wrong", "unparsable", "no_answer", "timeout"), began


def _workers(pool: VerifierPool) -> list[int]:
    return [child.pid for child in psutil.Process(pool._fork_server._process.pid).children()]
