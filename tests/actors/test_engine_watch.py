"""A process that was stopped is noticed, and one that computes, or whose watcher slept, is not mistaken for it."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from actors import engine_watch
from actors.engine_watch import EngineSilent, EngineWatch, activity

ENGINE = """
import sys, time
for line in sys.stdin:
    while line == "compute\\n": pass
    if line == "end\\n": sys.exit(1)
    print("answer", flush=True)
"""
PATIENCE_S = 20.0


class Engine:
    """A child process that answers lines, computes forever, or ends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.question = b"hello\n"
        self.time_s = 0.0
        self.watch = EngineWatch(self.ask, lambda: [process.pid], clock=self.clock)

    def clock(self) -> float:
        return asyncio.get_running_loop().time() + self.time_s

    async def ask(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(self.question)
        if not await self.process.stdout.readline():
            raise RuntimeError("the engine died")

    async def check_until(self, end: Callable[[], bool]) -> None:
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while not end():
            assert asyncio.get_running_loop().time() < deadline, "nothing was noticed"
            await self.watch.check()
            await asyncio.sleep(0.02)

    async def check_for(self, seconds: float) -> None:
        until = asyncio.get_running_loop().time() + seconds
        await self.check_until(lambda: asyncio.get_running_loop().time() > until)


@asynccontextmanager
async def engine() -> AsyncIterator[Engine]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", ENGINE, stdin=pipe, stdout=pipe)
    opened = Engine(process)
    try:
        await opened.ask()  # it is up
        yield opened
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_watch, "STOPPED_S", 0.5)


def test_an_engine_that_answers_lives() -> None:
    async def run() -> None:
        async with engine() as opened:
            await opened.check_for(1.0)

    asyncio.run(run())


def test_an_engine_that_was_stopped_is_noticed() -> None:
    async def run() -> None:
        async with engine() as opened:
            await opened.check_for(0.1)
            opened.process.send_signal(signal.SIGSTOP)
            with pytest.raises(EngineSilent, match=r"was stopped .* answered nothing for 0\.5 s"):
                await opened.check_until(lambda: False)

    asyncio.run(run())


def test_an_engine_that_waits_for_something_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_watch, "IDLE_S", 0.5)

    async def run() -> None:
        async with engine() as opened:
            opened.question = b""  # it waits for a line
            with pytest.raises(EngineSilent, match=r"answered nothing and computed nothing for 0\.5 s"):
                await opened.check_until(lambda: False)

    asyncio.run(run())


def test_an_engine_that_computes_without_an_answer_is_given_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with engine() as opened:
            opened.question = b"compute\n"
            await opened.check_for(1.5)
            monkeypatch.setattr(engine_watch, "HUNG_S", 1.5)
            with pytest.raises(EngineSilent, match=r"computed, but answered nothing for 1\.5 s"):
                await opened.check_until(lambda: False)

    asyncio.run(run())


def test_an_engine_that_ended_raises_what_its_question_raised() -> None:
    async def run() -> None:
        async with engine() as opened:
            opened.question = b"end\n"
            with pytest.raises(RuntimeError, match="the engine died"):
                await opened.check_until(lambda: False)

    asyncio.run(run())


def test_a_watcher_that_was_stopped_itself_does_not_blame_the_engine() -> None:
    async def run() -> None:
        async with engine() as opened:
            opened.process.send_signal(signal.SIGSTOP)
            await opened.check_for(0.2)
            opened.time_s = 60.0
            await opened.watch.check()
            opened.process.send_signal(signal.SIGCONT)
            await opened.check_for(1.0)

    asyncio.run(run())


def test_a_collective_may_wait_for_others() -> None:
    async def run() -> None:
        async with engine() as opened:
            opened.process.send_signal(signal.SIGSTOP)
            for _ in range(5):
                await opened.watch.check(waits_for_others=True)
                await asyncio.sleep(0.2)

    asyncio.run(run())


def test_the_activity_of_a_process_includes_its_children() -> None:
    async def run() -> None:
        code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, start_new_session=True)
        try:
            deadline = asyncio.get_running_loop().time() + PATIENCE_S
            while activity([process.pid]).used_s < 0.3:
                assert asyncio.get_running_loop().time() < deadline
                await asyncio.sleep(0.1)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    asyncio.run(run())
