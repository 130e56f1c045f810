"""The producer: keeps the engine full with training groups, until the run stops.

consumes    group ids of the training feed
waits for   room in the engine; the feed to issue another group (lag bound, depth of the rollout stream)
unblocked by finished groups; the learner, whose commits and weight updates raise the bound; the `stop` flag
"""

import asyncio
import itertools
import time
from collections.abc import Callable

from actors.actor_broker import ActorBroker
from actors.async_tasks import cancel_all
from actors.leased_groups import LeasedGroups
from actors.readable_rollout import SampleValues
from actors.report_sums import OutputSums
from broker.records import RolloutGroup
from broker.reports import WORK
from broker.role_clock import RoleClock

POLL_S = 0.05
"""Time between two claims while the feed issues nothing, seconds."""
CLAIMS_AT_ONCE = 8
"""Concurrent claims while the feed issues groups. Short groups end faster than sequential claims could replace them,
which would leave the engine half empty."""
SAMPLE_EVERY_S = 2.0
"""Shortest time between two readable rollouts on the samples stream, seconds."""


class Producer:
    """Claims and samples up to `max_in_flight` groups concurrently."""

    def __init__(
        self,
        groups: LeasedGroups,
        broker: ActorBroker,
        *,
        readable: Callable[[RolloutGroup], SampleValues],
        max_in_flight: int,
        clock: RoleClock,
    ) -> None:
        """`readable`: makes a sample of a group, as `actors.readable_rollout.sample_values` does."""
        self._groups = groups
        self._broker = broker
        self._readable = readable
        self._max_in_flight = max_in_flight
        self._clock = clock
        self._written = OutputSums()
        self._next_sample_at = 0.0

    async def run(self) -> None:
        """Runs until the run stops. An exhausted feed is still polled, because its limit may be raised."""
        writing: set[asyncio.Task[None]] = set()
        tokens = self._groups.claim_tokens()
        at_once = 1
        try:
            while not await self._broker.call(self._broker.control.stopped):
                missing = self._max_in_flight - len(writing)
                claims = list(itertools.islice(tokens, min(missing, at_once)))
                group_ids = await asyncio.gather(*(self._groups.claim(token) for token in claims))
                for group_id, token in zip(group_ids, claims, strict=True):
                    if group_id is not None:
                        writing.add(asyncio.create_task(self._write(group_id, token)))
                at_once = 1 if None in group_ids else CLAIMS_AT_ONCE
                self._note_shares(len(writing), waits=None in group_ids)
                if not claims or None in group_ids:
                    await _first_of(writing, POLL_S)
                for finished in [task for task in writing if task.done()]:
                    writing.remove(finished)
                    finished.result()
        finally:
            await cancel_all(list(writing))

    def take_written(self) -> OutputSums:
        """The sums since the last call."""
        written, self._written = self._written, OutputSums()
        return written

    def _note_shares(self, writing: int, *, waits: bool) -> None:
        """Room for groups without one is waiting if the feed issued none, else between two groups."""
        free = self._max_in_flight - writing
        waiting = {self._groups.waits_for: free / self._max_in_flight} if waits else {}
        self._clock.share({WORK: writing / self._max_in_flight, **waiting})

    async def _write(self, group_id: int, token: str) -> None:
        group = await self._groups.write(group_id, token)
        if group is not None:
            self._written.add(group)
            await self._publish_sample(group)

    async def _publish_sample(self, group: RolloutGroup) -> None:
        """Publishes one rollout of the group as readable text, a correct one if there is one; rate-limited."""
        if time.monotonic() < self._next_sample_at:
            return
        self._next_sample_at = time.monotonic() + SAMPLE_EVERY_S
        values = await asyncio.to_thread(self._readable, group)
        await self._broker.call(self._broker.samples.add, values)


async def _first_of(tasks: set[asyncio.Task[None]], timeout_s: float) -> None:
    """Waits until one of the tasks ends, for at most `timeout_s` seconds."""
    if tasks:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    else:
        await asyncio.sleep(timeout_s)
