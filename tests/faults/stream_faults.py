"""Faults of the rollout stream and of the server's clock."""

import random
import time
from pathlib import Path

from broker.metrics import Heartbeats
from broker.streams import RolloutStream
from tests.faults.broker_faults import trainable_group
from tests.faults.outcome import Outcome
from tests.faults.scene import GROUP_SIZE, Scene, SimulatedActor, SimulatedLearner
from tests.waiting import wait_until

HOUR_MS = 3_600_000
COPIES, LATE = 24, 6
JUMPS = 10
MAX_ATTEMPTS = 3


def duplicated(root: Path, seed: int) -> Outcome:
    """F16: stream entries are delivered twice, at once or after their groups were trained and trimmed.

    Then groups are published twice, after the server has dropped the record of its first answers.
    """
    outcome = Outcome()
    rng = random.Random(seed)
    with Scene(root) as scene:
        actor, learner = SimulatedActor(scene, trainable_group), SimulatedLearner(scene)
        actor.publish(12)
        entries = [fields for _, fields in scene.client.xrange(scene.keys.rollouts)]
        for _ in range(4):
            for fields in rng.choices(entries, k=COPIES // 4):
                scene.client.xadd(scene.keys.rollouts, fields)
                outcome.injected += 1
            scene.preprocess_all()
            if learner.train() and rng.random() < 0.5:
                scene.ring.trim(learner.step)
        while learner.train():
            pass
        counted = int(scene.client.hget(scene.keys.counters, "duplicates") or 0)
        outcome.require(counted == outcome.injected, f"{outcome.injected} copies, {counted} counted")
        outcome.require(learner.step == 12 // 3, f"{learner.step} steps of 12 groups")
        scene.client.delete(scene.keys.answered)
        for group_id in rng.sample(range(12), LATE):
            again = actor.publish_again(group_id)
            outcome.require(not again, f"group {group_id} was published twice")
            outcome.injected += 1
        outcome.require(RolloutStream(scene.client, scene.keys).depth() == 0, "a late copy is on the stream")
        scene.require_audit(outcome)
    return outcome


def clock_jumps(root: Path, seed: int) -> Outcome:
    """F20: the server's clock is set an hour forward or back: no lease expires by that, and no role counts as dead.

    Equivalently, the times that the server has stored are shifted by an hour.
    """
    outcome = Outcome()
    rng = random.Random(seed)
    with Scene(root) as scene:
        active, dead = SimulatedActor(scene, trainable_group), SimulatedActor(scene, trainable_group)
        heartbeats = Heartbeats(scene.client, scene.keys)
        leases = [active.claim() for _ in range(8)]
        scene.feed.reclaim(max_attempts=MAX_ATTEMPTS)
        for _ in range(JUMPS):
            heartbeats.beat("actor-0", "at work")
            heartbeats.silence()
            _jump(scene, rng.choice((-1, 1)) * rng.randint(HOUR_MS // 10, HOUR_MS))
            jumped_at = time.monotonic()
            expired = scene.feed.reclaim(max_attempts=MAX_ATTEMPTS)
            outcome.require(expired == 0, f"{expired} leases expired although none was overdue")
            silent_s = heartbeats.silence()["actor-0"]
            outcome.require(silent_s < 10, f"the actor was taken to be silent for {silent_s:.0f} s")
            outcome.injected += 1
            outcome.recovery_s.append(time.monotonic() - jumped_at)
        for group_id, token in leases:
            outcome.require(active.publish_claimed(group_id, token), f"the lease of group {group_id} did not stand")
        dead.claim(lease_s=0.5)
        took_s = wait_until(lambda: scene.feed.reclaim(max_attempts=MAX_ATTEMPTS) == 1, "a dead actor's lease to end")
        outcome.require(took_s < 5, f"a lease of 0.5 s ended after {took_s:.1f} s")
        active.publish_one()
        scene.preprocess_all()
        learner = SimulatedLearner(scene)
        while learner.train():
            pass
        outcome.require(learner.step == 9 // 3, f"{learner.step} steps of 9 groups of {GROUP_SIZE}")
        scene.require_audit(outcome)
    return outcome


_SHIFT = """
local shift = tonumber(ARGV[1])
for _, group_id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZINCRBY', KEYS[1], shift, group_id) end
if redis.call('HEXISTS', KEYS[2], 'looked_ms') == 1 then redis.call('HINCRBY', KEYS[2], 'looked_ms', shift) end
local beats = redis.call('HGETALL', KEYS[3])
for i = 1, #beats, 2 do
  local moment, status = beats[i + 1]:match('^(%d+) (.*)$')
  redis.call('HSET', KEYS[3], beats[i], string.format('%d', moment + shift) .. ' ' .. status)
end
"""


def _jump(scene: Scene, by_ms: int) -> None:
    """Shift all stored times as if the clock had been set forward by `by_ms`."""
    keys = scene.keys
    scene.client.eval(_SHIFT, 3, keys.leases, keys.feed, keys.heartbeats, -by_ms)
