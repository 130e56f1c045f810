"""The weight follower: takes over announced weights (arrow 10, the engine's side).

consumes    weight announcements
waits for   an announcement newer than the last one; evaluation groups that are being written
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
"""Longest block of one wait for an announcement; bounds how late a cancellation takes effect."""


class CanaryMismatch(Exception):
    """After a sync the engine's weights differ from the learner's; the engine must be replaced."""


class WeightFollower:
    """Keeps one engine at the newest policy version and notes on the board which version it holds."""

    def __init__(
        self, engine: Engine, broker: ActorBroker, settings: WeightSettings, *, in_flight_groups: Callable[[], int]
    ) -> None:
        """`in_flight_groups`: training groups the engine is writing, for the report of a sync."""
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._in_flight_groups = in_flight_groups
        self._seen = engine.version
        """Newest announcement that was acted on."""
        self._num_syncs = 0
        self.syncing = asyncio.Lock()
        """Held during a sync. Whoever holds it keeps the engine at its policy version."""

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
        """Take over the newest announced weights, if they are newer than the engine's.

        An nccl broadcast that is over cannot be joined. The engine then holds its old version, which makes the learner
        form the group anew, and the next announcement brings the engine up to date.
        """
        newest = await self._broker.call(self._broker.board.newest)
        if newest and newest.version > self._engine.version:
            if newest.backend == "file" and not await self._sync(newest):
                return await self.catch_up()
            self._seen = newest.version
        await self._hold(self._engine.version)

    async def _hold(self, version: int) -> None:
        """Note the version that the engine holds, on the board and in the history."""
        await self._broker.call(self._broker.board.hold, self._broker.actor, version)
        self._broker.history.add("hold", version=version)

    async def _sync(self, announcement: WeightAnnouncement) -> bool:
        """Pause, transfer, stamp, resume; then the canary; then note the version.

        False when newer weights have been announced and the file of these is gone. Raises FileNotFoundError when the
        file is gone without newer weights, and CanaryMismatch.
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
                        f"{announcement.path} was announced and does not exist; does something empty its folder?"
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
