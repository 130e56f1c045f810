"""P7: the broker with 512 simulated actors.

    python -m tests.bench.crowd URL RUN PROCESSES FIRST LAST SECONDS PACE    actors FIRST .. LAST - 1, as threads

Each actor has its own connection; it claims a group and publishes one of 8 rollouts of 100 tokens. Paced actors do that
about once a second, others as fast as the broker answers. Latencies are seen by the clients, which share the machine
with the server.
"""

import json
import random
import sys
import threading
import time
from collections import Counter

import numpy as np

from broker.balance import read_balance
from broker.connection import connect
from broker.feed import Feed
from broker.keys import Keys
from tests.bench.measure import REWARDS, Measure, in_own_process, of_pairs, server
from tests.groups import rollout_group

ACTORS, PROCESSES = 512, 2
ALONE_S, CROWD_S, PACED_S = 3.0, 6.0, 8.0
START_S = 120.0
"""Longest time until all actors are connected, seconds."""


def crowd() -> list[Measure]:
    with server() as redis:
        ratios, rates = [], []
        for pair in range(2):
            alone = _simulate(redis.url, f"alone{pair}", 1, ALONE_S, pace=False)
            many = _simulate(redis.url, f"crowd{pair}", ACTORS, CROWD_S, pace=False)
            rates.append((len(many["claim"]) / CROWD_S, len(alone["claim"]) / ALONE_S))
            ratios.append(rates[-1][0] / rates[-1][1])
        paced = _simulate(redis.url, "paced", ACTORS, PACED_S, pace=True)
        lost = sum(_lost(redis.url, run, seen["group"]) for run, seen in (("paced", paced), ("crowd1", many)))
    p99 = {what: 1e3 * float(np.percentile(paced[what], 99)) for what in ("claim", "publish")}
    return [
        of_pairs(
            "P7", f"broker: groups/s claimed and published by {ACTORS} actors / by one actor", ratios, target=">= 1",
            detail=f"{rates[0][0]:.0f} groups/s against {rates[0][1]:.0f} of one client",
        ),
        of_pairs(
            "P7", f"broker: p99 of claim and of publish, seconds, {ACTORS} actors of a group a second each",
            [max(p99.values()) / 1e3], target="<= 0.1",
            detail=f"claim {p99['claim']:.0f} ms, publish {p99['publish']:.0f} ms at "
            f"{len(paced['claim']) / PACED_S:.0f} groups/s",
        ),
        of_pairs(
            "P7", "broker: groups lost or published twice", [float(lost)], target="<= 0",
            detail=f"{len(paced['group']) + len(many['group'])} groups: each was published once and is on the stream",
        ),
    ]  # fmt: skip


def _simulate(url: str, run: str, actors: int, seconds: float, *, pace: bool) -> dict[str, list[float]]:
    """Latencies of all actors in seconds, by operation, and the ids of their groups."""
    client = connect(url, client_name="bench")
    Feed(client, Keys(run)).open(None)
    client.close()
    processes = min(PROCESSES, actors)
    edges = [actors * n // processes for n in range(processes + 1)]
    found: list[dict[str, list[float]]] = []

    def start(first: int, last: int) -> None:
        numbers = (processes, first, last, seconds, int(pace))
        found.extend(in_own_process("crowd", url, run, *map(str, numbers)))

    threads = [threading.Thread(target=start, args=edges[n : n + 2]) for n in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == processes, "a process of simulated actors failed"
    return {what: [value for each in found for value in each[what]] for what in found[0]}


def _lost(url: str, run: str, published: list[float]) -> int:
    """Groups issued but not published once, and published groups that are not on the stream. No lease is left."""
    client, keys = connect(url, client_name="bench"), Keys(run)
    balance = read_balance(client, keys)
    entries = client.xlen(keys.rollouts)
    client.close()
    assert balance.holds, balance.explain()
    once = sum(count == 1 for count in Counter(published).values())
    return abs(balance.issued - once) + abs(entries - len(published))


def work(url: str, run: str, processes: int, first: int, last: int, seconds: float, pace: bool) -> None:
    """Runs actors as threads; prints their latencies and group ids. All processes begin together."""
    seen: dict[str, list[float]] = {"claim": [], "publish": [], "group": []}

    def wait_for_others() -> None:
        client, key = connect(url, client_name="bench-start"), f"bench:{run}:ready"
        client.incr(key)
        while int(client.get(key) or 0) < processes:
            time.sleep(0.01)
        client.close()

    ready = threading.Barrier(last - first, action=wait_for_others, timeout=START_S)

    def act(number: int) -> None:
        client = connect(url, client_name=f"bench-{number}")
        feed, rng = Feed(client, Keys(run)), random.Random(number)
        client.ping()
        ready.wait()
        deadline = time.monotonic() + seconds
        if pace:
            time.sleep(rng.random())
        for n in range(10**9):
            began = time.monotonic()
            if began > deadline:
                break
            token = f"actor-{number}/{n}"
            group_id = feed.claim(token, held_version=0, batch_groups=8, max_lag=None, lease_s=60, high_water=10**9)
            claimed = time.monotonic()
            assert group_id is not None
            group = rollout_group(group_id, REWARDS, num_tokens=100)
            published = time.monotonic()
            assert feed.publish(group_id, token, group)
            seen["claim"].append(claimed - began)
            seen["publish"].append(time.monotonic() - published)
            seen["group"].append(group_id)
            if pace:
                time.sleep(max(0.0, 0.5 + rng.random() - (time.monotonic() - began)))
        client.close()

    threads = [threading.Thread(target=act, args=(number,)) for number in range(first, last)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(seen))


if __name__ == "__main__":
    url, run, processes, first, last, seconds, pace = sys.argv[1:]
    work(url, run, int(processes), int(first), int(last), float(seconds), pace == "1")
