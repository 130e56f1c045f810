"""Faults of what stands on the stream and of the server's clock."""

import random
import time
from pathlib import Path

from broker.metrics import Heartbeats
from broker.streams import RolloutStream
from tests.faults.broker_faults import kept_group
from tests.faults.outcome import Outcome
from tests.faults.scene import GROUP_SIZE, PlayedActor, PlayedLearner, Scene, wait_until

HOUR_MS = 3_600_000
COPIES, LATE = 24, 6
JUMPS = 10
MAX_ATTEMPTS = 3


def duplicated(root: Path, seed: int) -> Outcome:
    """F16: stream entries come a second time, at once or when their groups were trained and forgotten long ago.

    Then publications come a second time, after the server has forgotten that it answered them.
    """
    outcome = Outcome()
    dice = random.Random(seed)
    with Scene(root) as scene:
        actor, learner = PlayedActor(scene, kept_group), PlayedLearner(scene)
        actor.publish(12)
        entries = [fields for _, fields in scene.client.xrange(scene.keys.rollouts)]
        for _ in range(4):
            for fields in dice.choices(entries, k=COPIES // 4):
                scene.client.xadd(scene.keys.rollouts, fields)
                outcome.injected += 1
            scene.preprocess_all()
            if learner.train() and dice.random() < 0.5:
                scene.ring.trim(learner.step)
        while learner.train():
            pass
        counted = int(scene.client.hget(scene.keys.counters, "duplicates") or 0)
        outcome.require(counted == outcome.injected, f"{outcome.injected} copies, {counted} counted")
        outcome.require(learner.step == 12 // 3, f"{learner.step} steps of 12 groups")
        scene.client.delete(scene.keys.answered)
        for group_id in dice.sample(range(12), LATE):
            again = actor.publish_again(group_id)
            outcome.require(not again, f"group {group_id} was published twice")
            outcome.injected += 1
        outcome.require(RolloutStream(scene.client, scene.keys).depth() == 0, "a late copy is on the stream")
        scene.require_promises(outcome)
    return outcome


def clock_jumps(root: Path, seed: int) -> Outcome:
    """F20: the server's clock is set an hour forward or back: no lease ends by that, and nobody is taken for dead.

    To the server that is as if all it noted had been noted an hour earlier or later, so that is what is done to it.
    """
    outcome = Outcome()
    dice = random.Random(seed)
    with Scene(root) as scene:
        patient, gone = PlayedActor(scene, kept_group), PlayedActor(scene, kept_group)
        heartbeats = Heartbeats(scene.client, scene.keys)
        leases = [patient.claim() for _ in range(8)]
        scene.feed.reclaim(max_attempts=MAX_ATTEMPTS)
        for _ in range(JUMPS):
            heartbeats.beat("actor-0", "at work")
            heartbeats.silence()
            _jump(scene, dice.choice((-1, 1)) * dice.randint(HOUR_MS // 10, HOUR_MS))
            jumped_at = time.monotonic()
            expired = scene.feed.reclaim(max_attempts=MAX_ATTEMPTS)
            outcome.require(expired == 0, f"{expired} leases ended although nobody was late")
            silent_s = heartbeats.silence()["actor-0"]
            outcome.require(silent_s < 10, f"the actor was taken to be silent for {silent_s:.0f} s")
            outcome.injected += 1
            outcome.recovery_s.append(time.monotonic() - jumped_at)
        for group_id, token in leases:
            outcome.require(patient.publish_claimed(group_id, token), f"the lease of group {group_id} did not stand")
        gone.claim(lease_s=0.5)
        took_s = wait_until(lambda: scene.feed.reclaim(max_attempts=MAX_ATTEMPTS) == 1, "a dead actor's lease to end")
        outcome.require(took_s < 5, f"a lease of 0.5 s ended after {took_s:.1f} s")
        patient.publish_one()
        scene.preprocess_all()
        learner = PlayedLearner(scene)
        while learner.train():
            pass
        outcome.require(learner.step == 9 // 3, f"{learner.step} steps of 9 groups of {GROUP_SIZE}")
        scene.require_promises(outcome)
    return outcome


_SHIFT = """
local shift = tonumber(ARGV[1])
for _, group id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZINCRBY', KEYS[1], shift, group id) end
if redis.call('HEXISTS', KEYS[2], 'looked_ms') == 1 then redis.call('HINCRBY', KEYS[2], 'looked_ms', shift) end
local beats = redis.call('HGETALL', KEYS[3])
for i = 1, #beats, 2 do
  local moment, status = beats[i + 1]:match('^(%d+) (.*)$')
  redis.call('HSET', KEYS[3], beats[i], string.format('%d', moment + shift) .. ' ' .. status)
end
"""


def _jump(scene: Scene, by_ms: int) -> None:
    """Every moment the server remembers, as a clock sees it that was set forward by so much."""
    keys = scene.keys
    scene.client.eval(_SHIFT, 3, keys.leases, keys.feed, keys.heartbeats, -by_ms)
