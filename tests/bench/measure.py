"""What a measurement of `make bench` returns, and tools to take it."""

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import msgspec

from broker.connection import connect
from broker.keys import Keys
from deploy.cluster.redis_server import EmbeddedRedis
from tests.broker.broker_parts import BrokerParts

REWARDS = (1.0, 0.0) * 4
BATCH_GROUPS = 8


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str
    """P1 to P7."""
    what: str
    """Definition of the ratio."""
    ratio: float
    """Median over the pairs."""
    low: float
    high: float
    """Smallest and largest of the pairs."""
    target: str
    """What is wanted of the ratio, such as `>= 0.95`; empty without a target."""
    detail: str
    """The numbers behind it, with units."""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if not self.target:
            return None
        relation, bound = self.target.split()
        return self.ratio >= float(bound) if relation == ">=" else self.ratio <= float(bound)


def of_pairs(name: str, what: str, ratios: Sequence[float], *, target: str, detail: str) -> Measure:
    """The measure of the ratios of several pairs."""
    return Measure(
        name=name, what=what, ratio=statistics.median(ratios), low=min(ratios), high=max(ratios), target=target,
        detail=detail,
    )  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    """Wall time of a call, without the garbage of what ran before it."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_own_process(module: str, *words: str) -> list[Any]:
    """What a module prints as JSON, an object a line, when it is run with these words. Its other output is dropped."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{module}: {done.stderr[-3000:]}"
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@dataclass(frozen=True)
class Server:
    """An embedded Redis of its own."""

    url: str

    @contextmanager
    def parts(self, run: str, *, capacity: int) -> Iterator[BrokerParts]:
        """The parts of the broker of a new run."""
        client = connect(self.url, client_name="bench")
        try:
            yield BrokerParts(client, Keys(run), capacity=capacity, batch_groups=BATCH_GROUPS)
        finally:
            client.close()


@contextmanager
def server(fsync: Literal["always", "everysec"] = "always") -> Iterator[Server]:
    with TemporaryDirectory() as folder:
        embedded = EmbeddedRedis(Path(folder), fsync=fsync, max_memory_gib=4.0)
        try:
            yield Server(embedded.start())
        finally:
            embedded.stop()
