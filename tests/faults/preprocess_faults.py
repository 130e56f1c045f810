"""Faults of preprocessors and of the records they read."""

import random
import signal
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from broker.group_outcomes import summarize_group
from broker.records import SCHEMA, RolloutGroup, TrainGroup, encode, float32_bytes
from broker.scripts import Script
from broker.streams import RolloutStream
from tests.faults.outcome import Outcome
from tests.faults.scene import Scene, SimulatedActor, SimulatedLearner
from tests.groups import rollout_group, train_group
from tests.waiting import wait_until

REWARDS = (1.0, 0.0, 0.0, 1.0)
POINTS = ("preprocess.after_read", "preprocess.before_put", "preprocess.after_put")


def preprocessor_killed(root: Path, seed: int) -> Outcome:
    """F3: killed between read and acknowledgement, and after the put: each group enters the ring once, unchanged."""
    outcome = Outcome()
    rng = random.Random(seed)
    wrong: list[int] = []

    def look(batch: list[TrainGroup]) -> None:
        wrong.extend(group.rollout_group.group_id for group in batch if group != train_group(group.rollout_group))

    with Scene(root) as scene:
        actor, learner = SimulatedActor(scene, write), SimulatedLearner(scene, look=look)
        stream = RolloutStream(scene.client, scene.keys)
        for point in rng.sample(POINTS, len(POINTS)):
            actor.publish(6)
            nth = 1 if point == "preprocess.after_read" else rng.randint(1, 3)
            worker = scene.start_preprocessor(f"{point}:kill@{nth}")
            code = worker.wait()[0]
            outcome.require(code == -signal.SIGKILL, f"{point} was not reached: {worker.output()}")
            outcome.injected += 1
            actor.publish(3)
            depth, killed_at = stream.depth(), time.monotonic()
            successor = scene.start_preprocessor()
            wait_until(lambda depth=depth: stream.depth() < depth, "a group after the worker came back")
            outcome.recovery_s.append(time.monotonic() - killed_at)
            scene.wait_for_empty_stream()  # else the groups it holds reach their delivery limit
            successor.end()
        scene.preprocess_all()
        while learner.train():
            pass
        outcome.require(not wrong, f"other advantages than those of an undisturbed run in groups {wrong}")
        outcome.require(3 * learner.step == actor.published, f"{actor.published} groups, {learner.step} steps of 3")
        scene.require_audit(outcome)
    return outcome


def malformed_records(root: Path, seed: int) -> Outcome:
    """F17: malformed records become dead letters with a reason; the others are trained."""
    outcome = Outcome()
    rng = random.Random(seed)
    kinds = list(POISONS)
    with Scene(root) as scene:
        actor = PoisoningActor(scene, write)
        with scene.preprocessing():
            for n in range(10 * len(kinds)):
                if n % 10 == 3:
                    actor.publish_poison(POISONS[kinds[n // 10]](rng))
                    outcome.injected += 1
                else:
                    actor.publish_one()
            scene.wait_for_empty_stream()
        learner = SimulatedLearner(scene)
        while learner.train():
            pass
        letters = scene.client.xrange(scene.keys.dead_letters)
        reasons = [fields[b"reason"].decode() for _, fields in letters]
        outcome.require(len(reasons) == outcome.injected, f"{outcome.injected} poisoned, dead letters {reasons}")
        outcome.require(all(reasons), "a dead letter without a reason")
        outcome.require(learner.step == 9 * len(kinds) // 3, f"{learner.step} steps of {actor.published} good groups")
        scene.require_audit(outcome)
    return outcome


def write(group_id: int) -> RolloutGroup:
    return rollout_group(group_id, REWARDS)


class PoisoningActor(SimulatedActor):
    """Can publish bytes that are no group."""

    def publish_poison(self, frame: bytes) -> None:
        group_id, token = self.claim()
        keys = self._scene.keys
        leases = [keys.leases, keys.owners, keys.claims, keys.attempts, keys.answered]
        names = [*leases, keys.rollouts, keys.counters, keys.written]
        written = summarize_group(self._write(group_id))
        assert Script("publish")(self._scene.client, names, group_id, token, frame, 4, 12, 12, written) == 1


def _framed(body: bytes, *, schema: int = SCHEMA, kind: int = 1) -> bytes:
    """A frame whose checksum is right."""
    return struct.pack("<4sHBxII", b"POPE", schema, kind, zlib.crc32(body), len(body)) + body


def _body(rng: random.Random, **changes: object) -> bytes:
    """A group's body with fields of its first rollout changed."""
    group = write(rng.randrange(1000))
    first = msgspec.structs.replace(group.rollouts[0], **changes)
    return msgspec.msgpack.encode(msgspec.structs.replace(group, rollouts=(first, *group.rollouts[1:])))


def _flipped(rng: random.Random) -> bytes:
    frame = bytearray(encode(write(5)))
    frame[rng.randrange(16, len(frame))] ^= 1 << rng.randrange(8)
    return bytes(frame)


POISONS: dict[str, Callable[[random.Random], bytes]] = {
    "empty": lambda rng: b"",
    "noise": lambda rng: rng.randbytes(rng.randint(1, 500)),
    "a flipped bit": _flipped,
    "cut short": lambda rng: encode(write(5))[: -rng.randint(1, 40)],
    "another schema": lambda rng: _framed(_body(rng), schema=99),
    "another kind": lambda rng: _framed(_body(rng), kind=3),
    "no msgpack": lambda rng: _framed(b"\xc1" + rng.randbytes(20)),
    "an unknown field": lambda rng: _framed(msgspec.msgpack.encode({"ordinal": 1, "surprise": 2})),
    "one logprob too few": lambda rng: _framed(_body(rng, logprobs=float32_bytes([-0.5] * 2))),
    "a logprob that is no number": lambda rng: _framed(_body(rng, logprobs=float32_bytes([-0.5, float("nan"), -1]))),
    "half a token": lambda rng: _framed(_body(rng, token_ids=b"\x01\x00\x00")),
    "versions that go back": lambda rng: _framed(_body(rng, version_spans=((0, 3), (1, 2)))),
}
