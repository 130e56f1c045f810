"""Policy versions: their announcement to the engines, and the definition of lag.

A policy version is the number of optimizer steps the weights have seen; 0 is the initial policy.
"""

import time
from typing import Any, TypeVar, cast

import redis

from broker.connection import Entries, block_milliseconds
from broker.keys import Keys
from broker.records import WeightAnnouncement, decode, encode
from broker.scripts import Script

V = TypeVar("V")

_ANNOUNCE, _NOTE = Script("announce"), Script("note")
KEPT_ANNOUNCEMENTS = 8


def lag(learner_version: int, token_versions: V) -> V:
    """Optimizer steps between the weights that sampled a token and the weights it updates.

    Step s turns version s - 1 into s, so a token that step s trains has lag s - 1 - version: here
    `learner_version` is s - 1. Accepts a number, an array or a tensor; returns the same shape.
    """
    return cast(V, learner_version - cast(Any, token_versions))


class WeightBoard:
    """The newest policy version, and the version each engine holds. Versions never decrease."""

    def __init__(self, client: redis.Redis, keys: Keys, *, incarnation: str = "") -> None:
        """`incarnation` names the learner that announces with this object; see `Ring.admit`."""
        self._client, self._keys, self._incarnation = client, keys, incarnation

    def announce(self, announcement: WeightAnnouncement) -> bool:
        """Announces a version. False: it or a newer one was announced before."""
        names = [self._keys.weights, self._keys.weights_board, self._keys.learner]
        frame = encode(announcement)
        return bool(_ANNOUNCE(self._client, names, announcement.version, frame, KEPT_ANNOUNCEMENTS, self._incarnation))

    def newest(self) -> WeightAnnouncement | None:
        """The newest announcement; None before the first."""
        entries = cast(Entries, self._client.xrevrange(self._keys.weights, count=1))
        return decode(entries[0][1][b"announcement"], WeightAnnouncement) if entries else None

    def wait_newer(self, version: int, *, timeout_s: float) -> WeightAnnouncement | None:
        """Waits for an announcement newer than `version` (-1: any) and returns the newest; None after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        after = f"{version}-1" if version >= 0 else "0-0"
        while True:
            block_ms = block_milliseconds(deadline - time.monotonic())
            if self._client.xread({self._keys.weights: after}, count=1, block=block_ms):
                return self.newest()
            if time.monotonic() >= deadline:
                return None

    def hold(self, actor: str, version: int) -> None:
        """Records which version the engine of an actor holds."""
        _NOTE(self._client, [self._keys.weights_held], actor, version, "replace")

    def held(self) -> dict[str, int]:
        """Actor -> version that its engine holds."""
        pairs = cast(dict[bytes, bytes], self._client.hgetall(self._keys.weights_held))
        return {actor.decode(): int(version) for actor, version in pairs.items()}

    def forget(self, actor: str) -> None:
        """Removes an actor that has stopped."""
        self._client.hdel(self._keys.weights_held, actor)

    def version(self) -> int:
        """The newest announced version; 0 before the first announcement."""
        return int(self._client.hget(self._keys.weights_board, "version") or 0)

    def reopen(self) -> None:
        """Removes all announcements before a resume: their files are gone, and the learner starts at its checkpoint."""
        self._client.delete(self._keys.weights, self._keys.weights_board, self._keys.weights_held)

    def await_learner(self) -> None:
        """Engines sample nothing until `learner_ready`: they hold initial weights, and the learner resumes at others.

        The driver calls it before a learner resumes on a board without announcements.
        """
        _NOTE(self._client, [self._keys.weights_board], "awaits_learner", 1, "replace")

    def learner_ready(self) -> None:
        """The learner has announced the weights at which it begins."""
        _NOTE(self._client, [self._keys.weights_board], "awaits_learner", 0, "replace")

    def awaits_learner(self) -> bool:
        """Whether engines must wait for the learner; see `await_learner`."""
        return self._client.hget(self._keys.weights_board, "awaits_learner") == b"1"
