"""The weight follower: takes over announced weights (arrow 10, engine side).

consumes    weight announcements
waits for   an announcement newer than the last one; evaluation groups that are being sampled
unblocked by the learner, which publishes weights; the evaluation writer, which finishes its groups
"""

import asyncio
from collections.abc import Callable

from actors.actor_broker import ActorBroker
from actors.engine import Engine, canary
from actors.weight_file import hard_linked
from broker.records import WeightAnnouncement
from broker.reports import WeightSync
from conf.schema import WeightSettings

FOLLOW_S = 1.0
"""Longest single wait for an announcement, seconds; bounds the delay of a cancellation."""


class CanaryMismatch(Exception):
    """The engine's weights differ from the learner's after a sync; the engine must be replaced."""


class WeightFollower:
    """Keeps one engine at the newest policy version and records the version it holds on the board."""

    def __init__(
        self, engine: Engine, broker: ActorBroker, settings: WeightSettings, *, in_flight_groups: Callable[[], int]
    ) -> None:
        """`in_flight_groups`: returns the number of training groups in flight, for the report of a sync."""
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._in_flight_groups = in_flight_groups
        self._seen = engine.version
        """Version of the newest announcement that was handled."""
        self._num_syncs = 0
        self.syncing = asyncio.Lock()
        """Held during a sync. Other tasks hold it to keep the engine at its policy version."""

    async def run(self) -> None:
        """Runs until it is cancelled."""
        while True:
            announcement = await self._broker.call(self._broker.board.wait_newer, self._seen, timeout_s=FOLLOW_S)
            if announcement:
                async with self.syncing:
                    # While an evaluation held the lock, newer weights may have been announced.
                    newest = await self._broker.call(self._broker.board.newest) or announcement
                    if await self._sync(newest):
                        self._seen = newest.version

    async def catch_up(self) -> None:
        """Takes over the newest announced weights, if they are newer than the engine's.

        A finished nccl broadcast cannot be joined. The engine then records its old version, upon which the learner
        creates the transfer group again, and the next announcement updates the engine.
        """
        newest = await self._broker.call(self._broker.board.newest)
        if newest and newest.version > self._engine.version:
            if newest.backend == "file" and not await self._sync(newest):
                return await self.catch_up()
            self._seen = newest.version
        await self._hold(self._engine.version)

    async def _hold(self, version: int) -> None:
        """Records the version that the engine holds, on the board and in the history."""
        await self._broker.call(self._broker.board.hold, self._broker.actor, version)
        self._broker.history.add("hold", version=version)

    async def _sync(self, announcement: WeightAnnouncement) -> bool:
        """Updates the engine, compares checksums if a canary is due, reports the sync and records the version.

        False if the file was removed because newer weights were announced. Raises FileNotFoundError if the file is
        missing without newer weights, and CanaryMismatch.
        """
        actor = self._broker.actor
        in_flight = self._in_flight_groups()
        if announcement.rendezvous:
            await self._engine.init_transfer(announcement.rendezvous.init_info(actor))
        with hard_linked(announcement, actor) as linked:
            if linked is None:
                newest = await self._broker.call(self._broker.board.newest)
                if newest is None or newest.version <= announcement.version:
                    raise FileNotFoundError(
                        f"{announcement.path} was announced but does not exist; check what else deletes files there"
                    )
                return False
            stall_s = await self._engine.update(linked, timeout_s=self._settings.timeout_s)
        self._num_syncs += 1
        wrong: list[str] = []
        if self._settings.canary_every and self._num_syncs % self._settings.canary_every == 0:
            wrong = canary(announcement.checksums, await self._engine.checksums())
        await self._broker.call(
            self._broker.metrics.report,
            WeightSync(
                actor=actor,
                version=announcement.version,
                stall_ms=round(stall_s * 1e3, 3),
                in_flight_groups=in_flight,
                canary_mismatches=len(wrong),
            ),
        )
        if wrong:
            raise CanaryMismatch(
                f"after the sync to version {announcement.version} {wrong[0]} differs from the learner's, "
                f"{len(wrong)} parameters in all"
            )
        await self._hold(announcement.version)
        return True
