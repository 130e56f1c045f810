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
MARGIN_S = 2.0
"""A crowded machine forks late; the verdict itself comes within 0.2 s of the deadline on an idle one."""
ROUNDS = 2
GOLD, RIGHT, WRONG, ENDLESS = "x+1", "\\boxed{1+x}", "\\boxed{2+x}", f"\\boxed{{{BOXED['powers_of_sums']}}}"


def verifier_hurt(root: Path, seed: int) -> Outcome:
    """F18: answers that hang, a worker that dies at work, all of them dying at once: only their own verdict suffers."""
    outcome = Outcome()
    asyncio.run(_hurt(random.Random(seed), outcome))
    return outcome


async def _hurt(dice: random.Random, outcome: Outcome) -> None:
    pool = VerifierPool(VerifierSettings(workers=2, deadline_s=DEADLINE_S))
    try:
        await _works(pool, outcome, count=2)
        for _ in range(ROUNDS):
            for fault in dice.sample((_hang, _segfault, _family_dies, _hostile), 4):
                verdict, wanted, began = await fault(pool, dice)
                outcome.injected += 1
                outcome.require(verdict in wanted, f"{fault.__name__}: {verdict}, not {' or '.join(wanted)}")
                took_s = time.monotonic() - began
                outcome.require(took_s < DEADLINE_S + MARGIN_S, f"{fault.__name__}: a verdict after {took_s:.1f} s")
                await _works(pool, outcome, count=4)
                outcome.recovery_s.append(time.monotonic() - began)
    finally:
        pool.close()


async def _works(pool: VerifierPool, outcome: Outcome, count: int) -> None:
    """Ordinary answers beside each other; one may come while a worker starts, so each has three tries."""
    for text, verdict in ((RIGHT, "correct"), (WRONG, "wrong")):
        for _ in range(3):
            said = await asyncio.gather(*(pool.judge(text, GOLD) for _ in range(count)))
            if said == [verdict] * count:
                break
        outcome.require(said == [verdict] * count, f"an ordinary answer is {said}, not {verdict}")


async def _hang(pool: VerifierPool, dice: random.Random) -> tuple[str, tuple[str, ...], float]:
    began = time.monotonic()
    return await pool.judge(ENDLESS, GOLD), ("timeout",), began


async def _segfault(pool: VerifierPool, dice: random.Random) -> tuple[str, tuple[str, ...], float]:
    question = asyncio.create_task(pool.judge(ENDLESS, GOLD))
    await asyncio.sleep(dice.uniform(0.05, DEADLINE_S / 2))
    began = time.monotonic()
    for worker in _workers(pool):  # whichever has the question
        os.kill(worker, signal.SIGSEGV)
    return await question, ("crash",), began


async def _family_dies(pool: VerifierPool, dice: random.Random) -> tuple[str, tuple[str, ...], float]:
    question = asyncio.create_task(pool.judge(ENDLESS, GOLD))
    await asyncio.sleep(dice.uniform(0.05, DEADLINE_S / 2))
    began = time.monotonic()
    os.kill(pool._fork_server._process.pid, signal.SIGKILL)
    return await question, ("crash",), began


async def _hostile(pool: VerifierPool, dice: random.Random) -> tuple[str, tuple[str, ...], float]:
    began = time.monotonic()
    verdict = await pool.judge(f"\\boxed{{{dice.choice(list(BOXED.values()))}}}", GOLD)
    return verdict, ("wrong", "unparsable", "no_answer", "timeout"), began


def _workers(pool: VerifierPool) -> list[int]:
    return [child.pid for child in psutil.Process(pool._fork_server._process.pid).children()]
