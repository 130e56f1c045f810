"""The evaluation writer: samples the groups of scheduled evaluations during training.

consumes    group ids of the evaluation feed
waits for   the feed to issue a group; the end of a running weight sync
unblocked by the driver, which schedules evaluations; the weight follower, which finishes the sync
"""

import asyncio

from actors.leased_groups import LeasedGroups

POLL_S = 0.5
"""Time between two claims while the feed issues nothing, seconds."""


class EvaluationWriter:
    """Samples batches of `width` groups, each under one policy version."""

    def __init__(self, groups: LeasedGroups, *, width: int, syncing: asyncio.Lock) -> None:
        """`syncing` is held while groups are sampled, so that a newer policy version waits until they are finished."""
        self._groups = groups
        self._width = width
        self._syncing = syncing

    async def run(self) -> None:
        """Runs until it is cancelled."""
        tokens = self._groups.claim_tokens()
        token = next(tokens)
        while True:
            claimed: list[tuple[int, str]] = []
            while len(claimed) < self._width and (group_id := await self._groups.claim(token)) is not None:
                claimed.append((group_id, token))
                token = next(tokens)
            if not claimed:
                await asyncio.sleep(POLL_S)
                continue
            async with self._syncing:
                await asyncio.gather(*(self._groups.write(*claim) for claim in claimed))
