"""Cost of dashboard viewers for a live run: `make viewers ARGS=runs/pope`.

Windows without and with viewers alternate, so that other changes over the run cancel out. The viewers run on this
machine too, unlike real ones, so the measured cost is an upper bound.
"""

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from broker.balance import Balance, read_balance
from broker.errors import UsageError
from deploy.store.run_redis import find_run, run_redis

SETTLE_S = 2.0
"""Skipped at the start of each window."""


class Viewers:
    """Clients that follow one run, on a thread."""

    def __init__(self, address: str, run: str, count: int) -> None:
        self._address, self._run, self._count = address, run, count
        self._end = threading.Event()
        self.bytes = 0

    def __enter__(self) -> "Viewers":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()))
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()

    async def _watch(self) -> None:
        async with httpx.AsyncClient(base_url=self._address, timeout=60) as client:
            tasks = [asyncio.create_task(self._one(client)) for _ in range(self._count)]
            while not self._end.is_set():
                await asyncio.sleep(0.1)
            for task in tasks:
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result

    async def _one(self, client: httpx.AsyncClient) -> None:
        async with client.stream("GET", f"/api/runs/{self._run}/events") as answer:
            async for part in answer.aiter_raw():
                self.bytes += len(part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a live run")
    parser.add_argument("--viewers", type=int, default=20)
    parser.add_argument("--window", type=float, default=20.0, help="seconds")
    parser.add_argument("--rounds", type=int, default=6, help="pairs of windows")
    words = parser.parse_args()
    folder, config = find_run(words.run)
    command = [sys.executable, "-m", "deploy.cli", "dashboard", str(words.run), "--port", "0"]
    with (
        run_redis(folder, config) as (client, keys),
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            address = _address(process)
            pairs = []
            for number in range(words.rounds):
                without = _rates(lambda: read_balance(client, keys), words.window, process)
                with Viewers(address, config.run.name, words.viewers) as viewers:
                    viewed = _rates(lambda: read_balance(client, keys), words.window, process)
                pairs.append((without, viewed))
                print(
                    f"{number + 1}: tokens/s {without[0]:,.0f} and {viewed[0]:,.0f} with viewers, samples trained/s "
                    f"{without[1]:.1f} and {viewed[1]:.1f}, dashboard {without[2]:.1%} and {viewed[2]:.1%} of a core, "
                    f"{viewers.bytes / words.window / words.viewers / 1e3:.1f} kB/s a viewer",
                    flush=True,
                )
        finally:
            process.terminate()
    for i, name in enumerate(("tokens written", "samples trained")):
        changes = [viewed[i] / without[i] - 1 for without, viewed in pairs]
        spread = statistics.stdev(changes) / len(changes) ** 0.5 if len(changes) > 1 else float("nan")
        print(f"{name}: {statistics.mean(changes):+.2%} with {words.viewers} viewers (standard error {spread:.2%})")


def _rates(
    look: Callable[[], Balance], window_s: float, process: subprocess.Popen[str]
) -> tuple[float, float, float]:
    """Rollout tokens a second, samples trained a second, and the dashboard's share of a core, over a window."""
    time.sleep(SETTLE_S)
    dashboard = psutil.Process(process.pid)
    start, first, busy = time.monotonic(), look(), sum(dashboard.cpu_times()[:2])
    time.sleep(window_s)
    seconds, last = time.monotonic() - start, look()
    if last.issued == first.issued:
        raise UsageError("the run makes no progress; this needs a live run")
    return (
        (last.totals["completion_tokens"] - first.totals["completion_tokens"]) / seconds,
        (last.trained_samples - first.trained_samples) / seconds,
        (sum(dashboard.cpu_times()[:2]) - busy) / seconds,
    )


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"dashboard: (http://\S+?)/$", line.strip()):
            return match[1]
    raise UsageError("the dashboard did not start")


if __name__ == "__main__":
    main()
