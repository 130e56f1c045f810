"""Faults of Redis and of the connection to it."""

import os
import random
import signal
import threading
import time
from pathlib import Path

from broker.balance import read_balance
from broker.errors import BrokerError
from broker.records import RolloutGroup
from deploy.audit.evidence import gather
from deploy.audit.group_promises import one_end
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.store.run_view import RunView
from tests.faults.lost_writes import server_loses_a_step
from tests.faults.outcome import Outcome
from tests.faults.proxy import LossyProxy
from tests.faults.scene import Scene, SimulatedActor, SimulatedLearner, running
from tests.groups import rollout_group
from tests.waiting import wait_until

LOST_REPLIES = 200
KILLS = 6
TORN_KILLS = 4
MOST_BYTES_CUT = 300
"""Most bytes cut off the append-only file."""


def reply_lost(root: Path, seed: int) -> Outcome:
    """F2: a command is executed but its reply is lost, so the client repeats it: it must take effect once."""
    outcome = Outcome()
    with Scene(root) as scene:
        proxy = LossyProxy(scene.url, root / "p.sock", seed=seed, share=0.15, at_most=LOST_REPLIES)
        actor = SimulatedActor(scene, trainable_group, proxy.url)
        learner = SimulatedLearner(scene, proxy.url)
        with scene.preprocessing(proxy.url):
            proxy.lose()
            while proxy.lost < LOST_REPLIES:
                actor.publish_one()
                learner.train()
            scene.wait_for_empty_stream()
        while learner.train():
            pass
        proxy.close()
        outcome.injected = proxy.lost
        balance = read_balance(scene.client, scene.keys)
        outcome.require(balance.totals["published"] == actor.published, "a group was published twice or not at all")
        scene.require_audit(outcome)
    return outcome


def server_killed(root: Path, seed: int) -> Outcome:
    """F12: kill -9 of the server under load, repeatedly; no acknowledged write may be lost.

    Then with a truncated append-only file: acknowledged writes are lost, and the balance must still hold. Finally a
    real learner finds that the server lost the step it is in.
    """
    outcome = Outcome()
    rng = random.Random(seed)
    with Scene(root) as scene:
        actor, learner = SimulatedActor(scene, trainable_group), SimulatedLearner(scene)
        done = threading.Event()

        def load() -> None:
            while not done.is_set():
                actor.publish_one()
                learner.train()

        with scene.preprocessing(), running(load):
            try:
                for _ in range(KILLS):
                    time.sleep(rng.uniform(0.1, 0.5))
                    before = actor.published
                    killed_at = time.monotonic()
                    kill(scene.server)
                    scene.server.start()
                    wait_until(lambda before=before: actor.published > before, "a group after the server came back")
                    outcome.injected += 1
                    outcome.recovery_s.append(time.monotonic() - killed_at)
            finally:
                done.set()
        scene.require_audit(outcome)
    kill_and_truncate(root, rng, outcome)
    server_loses_a_step(root, rng, outcome)
    return outcome


def kill_and_truncate(root: Path, rng: random.Random, outcome: Outcome) -> None:
    """Kills after which the last bytes of the append-only file are cut off."""
    with Scene(root, name="torn", histories=False) as scene:
        actor = SimulatedActor(scene, trainable_group)
        learner = SimulatedLearner(scene)
        for _ in range(TORN_KILLS):
            with scene.preprocessing():
                for _ in range(rng.randrange(6, 20)):
                    actor.publish_one()
                    try:
                        learner.train()
                    except BrokerError:  # the server lost a step it had acknowledged
                        learner.follow_server()
            kill(scene.server)
            truncate(scene.folder.redis, rng.randint(1, MOST_BYTES_CUT))
            scene.server.start()
            outcome.injected += 1
            balance = read_balance(scene.client, scene.keys)
            outcome.require(balance.holds, f"after a truncated file: {balance.explain()}")
            learner.follow_server()
        with RunView(scene.folder.path) as run:
            finding = one_end(gather(run))
        outcome.require(finding.holds, f"after truncated files: {finding.violation}")


def kill(server: EmbeddedRedis) -> None:
    """SIGKILL, and wait until it is gone."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    while server.alive():
        time.sleep(0.005)


def truncate(folder: Path, num_bytes: int) -> None:
    """Cut bytes off the newest part of the append-only file, as a power failure may."""
    file = max((folder / "appendonlydir").glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    os.truncate(file, max(0, file.stat().st_size - num_bytes))


def out_of_memory(root: Path, seed: int) -> Outcome:
    """F13: the server is out of memory while no batch is trained: actors wait, no role ends, and it recovers."""
    outcome = Outcome()
    num_groups = 60
    long = ("actors.max_completion_tokens=2000", "learner.row_tokens=2048", "broker.rollouts_high_water=1000")
    with Scene(root, *long, "broker.max_memory_gib=0.1") as scene:
        actor = SimulatedActor(scene, lambda group_id: rollout_group(group_id, (1.0, 0.0, 0.0, 0.0), num_tokens=2000))
        learner = SimulatedLearner(scene)
        with scene.preprocessing(), running(lambda: actor.publish(num_groups)):
            wait_until(lambda: actor.published >= 10 + seed % 10, "a few groups")
            used = scene.client.info("memory")["used_memory"]
            scene.client.config_set("maxmemory", used + 1_000_000)  # some 15 groups
            wait_until(lambda: _refusals(scene) > 0, "a refusal for lack of memory")
            time.sleep(0.5)
            stuck = actor.published
            outcome.injected = _refusals(scene)
            outcome.require(stuck < num_groups, "the server accepted more than fits in its memory")
            drained_at = time.monotonic()
            while actor.published == stuck and time.monotonic() - drained_at < 20:
                if learner.train():
                    scene.ring.trim(learner.step)
            outcome.require(actor.published > stuck, "the actor still waits although the learner trains")
            outcome.recovery_s.append(time.monotonic() - drained_at)
            while actor.published < num_groups and time.monotonic() - drained_at < 60:
                if learner.train():
                    scene.ring.trim(learner.step)
            scene.wait_for_empty_stream()
        while learner.train():
            scene.ring.trim(learner.step)
        outcome.require(learner.step == num_groups // 3, f"{learner.step} steps of {num_groups} groups")
        scene.require_audit(outcome)
    return outcome


def _refusals(scene: Scene) -> int:
    """Number of commands that the server refused with -OOM."""
    return int(scene.client.info("errorstats").get("errorstat_OOM", {}).get("count", 0))


def trainable_group(group_id: int) -> RolloutGroup:
    return rollout_group(group_id, (1.0, 0.0, 0.0, 1.0))
