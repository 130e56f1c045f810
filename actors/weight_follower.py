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
from broker.reports import CANARY, WEIGHTS, WeightSync
from broker.role_clock import RoleClock
from conf.schema import WeightSettings

FOLLOW_S = 1.0
"""Longest single wait for an announcement, seconds; bounds the delay of a cancellation."""
POLL_S = 0.1
"""Time between two looks for the first weights that an engine may sample with, seconds."""


class CanaryMismatch(Exception):
    """The engine's weights differ from the learner's after a sync; the engine must be replaced."""


class WeightFollower:
    """Keeps one engine at the newest policy version and records the version it holds on the board."""

    def __init__(
        self,
        engine: Engine,
        broker: ActorBroker,
        settings: WeightSettings,
        *,
        clock: RoleClock,
        in_flight_groups: Callable[[], int],
    ) -> None:
        """`in_flight_groups`: returns the number of training groups in flight, for the report of a sync."""
        self._engine = engine
        self._broker = broker
        self._settings = settings
        self._clock = clock
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

    async def catch_up(self) -> bool:
        """Takes over the newest announced weights, if they are newer than the engine's. False: the run stopped before.

        Until then the engine has the initial weights, and must sample nothing for training. It waits when a learner
        that resumes has not announced its weights yet, or when the newest ones were broadcast (nccl): a finished
        broadcast cannot be joined. The engine records its old version, upon which the learner creates the transfer
        group again, and the next announcement updates the engine.
        """
        newest = await self._broker.call(self._broker.board.newest)
        if newest is None or (newest.backend == "nccl" and newest.version > self._engine.version):
            await self._broker.call(self._broker.board.hold, self._broker.actor, self._engine.version)
            newest = await self._newer_than(newest)
            if await self._broker.call(self._broker.control.stopped):
                return False
        if newest and newest.version > self._engine.version and not await self._sync(newest):
            return await self.catch_up()
        self._seen = self._engine.version
        await self._hold(self._engine.version)
        return True

    async def _newer_than(self, missed: WeightAnnouncement | None) -> WeightAnnouncement | None:
        """Waits for the next announcement, or for the stop. With None for the first one, if a learner resumes."""
        board, call = self._broker.board, self._broker.call
        while not await call(self._broker.control.stopped):
            newer = await call(board.wait_newer, -1 if missed is None else missed.version, timeout_s=0.0)
            if newer and self._can_join(newer):
                return newer
            missed = newer or missed
            if missed is None and not await call(board.awaits_learner):
                return await call(board.newest)  # it may have been announced just before the learner was ready
            await asyncio.sleep(POLL_S)
        return None

    def _can_join(self, announcement: WeightAnnouncement) -> bool:
        """Whether this new engine can receive these weights; a broadcast that began without it cannot be joined."""
        group = announcement.rendezvous
        return announcement.backend == "file" or (group is not None and self._broker.actor in group.rank_offsets)

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
            with self._clock.within(WEIGHTS):
                stall_s = await self._engine.update(linked, timeout_s=self._settings.timeout_s)
        self._num_syncs += 1
        wrong: list[str] = []
        if self._settings.canary_every and self._num_syncs % self._settings.canary_every == 0:
            with self._clock.within(CANARY):
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
