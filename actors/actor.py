"""The actor: claims problems, writes rollouts, follows the weights (arrows 1 to 5, and the engine's end of 10).

consumes    group ids of the feed, weight announcements
waits for   the feed to admit another group (lag bound, depth of the rollout stream), a newer announcement
unblocked by the learner, whose commits and new weights give credit; at the end by the `stop` flag
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from actors.engine import Engine, canary
from actors.readable_rollout import sample_values
from actors.report_sums import Written
from actors.rollout_writer import PromptTooLong, RolloutWriter
from actors.weight_file import held
from broker.connection import with_retries
from broker.errors import FeedExhausted
from broker.failpoints import failpoint
from broker.feed import Feed
from broker.history import History
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import Assignment, RolloutGroup, WeightAnnouncement
from broker.reports import WeightSync
from broker.rollout_samples import Samples
from broker.weights import WeightBoard
from conf.schema import RunConfig

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S = 0.05
"""How long to wait before asking a feed again that admitted nothing."""
CLAIMS_AT_ONCE = 8
"""Claims under way side by side, while the feed admits them: short groups on busy cores end faster than claims made one
after another replace them, and the engine runs half empty."""
SAMPLE_EVERY_S = 2.0
"""One readable rollout in this time goes to the samples stream."""
EVALUATION_POLL_S = 0.5
FOLLOW_S = 1.0
"""Longest block of one wait for weights; bounds how late a stop is seen."""


class CanaryMismatch(Exception):
    """The engine's weights are not the learner's after a sync; the engine must be replaced."""


@dataclass(frozen=True)
class Work:
    """A feed, and what its group ids stand for: the mixture of a training run, the task list of a sampling stage."""

    feed: Feed
    assignment: Callable[[int], Assignment]


class Actor:
    """One engine's loop. `run` returns when the run stops.

    `work` keeps the engine full. Of `evaluations` a few groups at a time are written beside it, all of them by one
    version of the weights: a newer version waits until they are finished.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        name: str,
        incarnation: str,
        engine: Engine,
        writer: RolloutWriter,
        decode: Callable[[list[int]], str],
        work: Work,
        evaluations: Work | None = None,
        board: WeightBoard,
        metrics: Metrics,
        samples: Samples,
        heartbeats: Heartbeats,
        control: Control,
        history: History,
    ) -> None:
        self._config = config
        self._name = name
        self._engine = engine
        self._writer = writer
        self._decode = decode
        self._work = work
        self._evaluations = evaluations
        self._board = board
        self._metrics = metrics
        self._samples = samples
        self._heartbeats = heartbeats
        self._control = control
        self._history = history
        self._held: dict[Feed, dict[int, str]] = {w.feed: {} for w in (work, evaluations) if w is not None}
        """Feed -> group id -> claim token of the groups in flight."""
        self._seen = engine.version
        """Newest announcement that was acted on."""
        self._syncing = asyncio.Lock()
        self._syncs = 0
        self._written = Written()
        self._next_sample_at = 0.0
        self._incarnation = incarnation
        """Holds the leases: a restarted actor must not be taken for the one that died."""

    async def run(self) -> None:
        await self.catch_up()
        followers = [asyncio.create_task(self._follow_weights()), asyncio.create_task(self._stay_alive())]
        if self._evaluations is not None:
            followers.append(asyncio.create_task(self._evaluate(self._evaluations)))
        producing = asyncio.create_task(self._produce())
        try:
            # The first task that ends early ends the actor, with its error.
            done, _ = await asyncio.wait([producing, *followers], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            # A sync that is under way is finished first: an engine stopped in the middle of one takes no other. An
            # evaluation is not worth waiting for.
            await _cancel(followers[2:])
            async with self._syncing:
                await _cancel([producing, *followers])
            for feed in self._held:
                await self._call(feed.release, self._incarnation)

    async def catch_up(self) -> None:
        """Take over the newest announced weights, if there are newer ones than the engine's.

        A broadcast (nccl) that is over cannot be joined: holding an old version tells the learner to form the group
        anew, and the next announcement brings the engine up to date.
        """
        newest = await self._call(self._board.newest)
        if newest and newest.version > self._engine.version:
            if newest.backend == "file" and not await self._sync(newest):
                return await self.catch_up()
            self._seen = newest.version
        await self._hold(self._engine.version)

    async def _hold(self, version: int) -> None:
        """Say which version the engine holds."""
        await self._call(self._board.hold, self._name, version)
        self._history.add("hold", version=version)

    async def _produce(self) -> None:
        """Keep the engine full until the run stops; a feed with nothing left may be given more."""
        groups: set[asyncio.Task[None]] = set()
        tokens = self._tokens()
        at_once = 1
        try:
            while not await self._call(self._control.stopped):
                missing = self._config.actors.max_in_flight_groups - len(groups)
                wanted = list(itertools.islice(tokens, min(missing, at_once)))
                group_ids = await asyncio.gather(*(self._claim(self._work, token) for token in wanted))
                for group_id, token in zip(group_ids, wanted, strict=True):
                    if group_id is not None:
                        groups.add(asyncio.create_task(self._train_group(group_id, token)))
                at_once = 1 if None in group_ids else CLAIMS_AT_ONCE
                if not wanted or None in group_ids:
                    await _first_of(groups, POLL_S)
                for finished in [task for task in groups if task.done()]:
                    groups.remove(finished)
                    finished.result()
        finally:
            await _cancel(list(groups))

    async def _evaluate(self, evaluations: Work) -> None:
        """Write the groups of evaluations, a quarter of the engine at a time, each by one version of the weights."""
        tokens = self._tokens()
        token = next(tokens)
        width = max(1, self._config.actors.max_num_seqs // (4 * self._config.evaluation.every_samples))
        while True:
            claimed: list[tuple[int, str]] = []
            while len(claimed) < width and (group_id := await self._claim(evaluations, token)) is not None:
                claimed.append((group_id, token))
                token = next(tokens)
            if not claimed:
                await asyncio.sleep(EVALUATION_POLL_S)
                continue
            async with self._syncing:
                await asyncio.gather(*(self._one_group(evaluations, *claim) for claim in claimed))

    def _tokens(self) -> Iterator[str]:
        return (f"{self._incarnation}/{n}" for n in itertools.count())

    async def _claim(self, work: Work, token: str) -> int | None:
        """An group id that is ours from now on; None: there is none just now."""
        try:
            group_id = await self._call(
                work.feed.claim,
                token,
                held_version=self._engine.version,
                batch_groups=self._config.batch_groups,
                max_lag=self._config.learner.max_lag if work is self._work else None,
                lease_s=self._config.actors.lease_s,
                high_water=self._config.broker.rollouts_high_water,
            )
        except FeedExhausted:
            return None
        if group_id is not None:
            self._held[work.feed][group_id] = token
        return group_id

    async def _train_group(self, group_id: int, token: str) -> None:
        group = await self._one_group(self._work, group_id, token)
        if group is not None:
            self._written.add(group)
            await self._show(group)

    async def _one_group(self, work: Work, group_id: int, token: str) -> RolloutGroup | None:
        """Write a group and publish it; None when it failed or belongs to somebody else by now."""
        try:
            failpoint("actor.claimed")
            group = await self._writer.write(await self._call(work.assignment, group_id))
            failpoint("actor.before_publish")
        except PromptTooLong as error:
            log.warning("group %d failed: %s", group_id, error)
            if await self._call(work.feed.fail, group_id, token, "prompt_too_long") and work is self._work:
                self._history.add("fail", group_id=group_id, reason="prompt_too_long")
            return None
        else:
            if await self._call(work.feed.publish, group_id, token, group):
                failpoint("actor.after_publish")
                if work is self._work:
                    self._history.add("publish", group_id=group_id)
                return group
            log.warning("group %d was issued to another actor: its lease ran out; this copy is dropped", group_id)
            return None
        finally:
            self._held[work.feed].pop(group_id, None)

    async def _follow_weights(self) -> None:
        while True:
            announcement = await self._call(self._board.wait_newer, self._seen, timeout_s=FOLLOW_S)
            if announcement:
                async with self._syncing:
                    # An evaluation may have held the weights meanwhile: newer ones may be there.
                    newest = await self._call(self._board.newest) or announcement
                    if await self._sync(newest):
                        self._seen = newest.version

    async def _sync(self, announcement: WeightAnnouncement) -> bool:
        """Arrow 10: pause, transfer, stamp, resume; then the canary; then say which version is held.

        False when newer weights have been announced and the file of these is gone.
        """
        settings = self._config.weights
        in_flight = len(self._held[self._work.feed])
        if announcement.rendezvous:
            await self._engine.init_transfer(announcement.rendezvous.init_info(self._name))
        with held(announcement, self._name) as reachable:
            if reachable is None:
                newest = await self._call(self._board.newest)
                if newest is None or newest.version <= announcement.version:
                    raise FileNotFoundError(f"{announcement.path} was announced and is gone: who empties its folder?")
                return False
            stall_s = await self._engine.update(reachable, timeout_s=settings.timeout_s)
        self._syncs += 1
        wrong: list[str] = []
        if settings.canary_every and self._syncs % settings.canary_every == 0:
            wrong = canary(announcement.checksums, await self._engine.checksums())
        await self._call(
            self._metrics.report,
            WeightSync(
                actor=self._name,
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

    async def _stay_alive(self) -> None:
        """Heartbeat, renew the leases, check the engine, report what was written since the last time."""
        while True:
            await self._engine.check()
            in_flight = sum(map(len, self._held.values()))
            await self._call(self._heartbeats.beat, self._name, f"{in_flight} groups in flight")
            for feed, leases in self._held.items():
                if leases:
                    await self._call(feed.renew, list(leases), self._incarnation, lease_s=self._config.actors.lease_s)
            written, self._written = self._written, Written()
            if written.groups:
                await self._call(self._metrics.report, written.report(self._name, self._engine.version))
            await asyncio.sleep(self._config.deploy.heartbeat_s)

    async def _call(self, operation: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """A broker operation off the event loop; all of them may be repeated, so a Redis that is away is waited for."""
        return await asyncio.to_thread(
            with_retries, lambda: operation(*args, **kwargs), deadline_s=self._config.deploy.dead_after_s
        )

    async def _show(self, group: RolloutGroup) -> None:
        """Every now and then one rollout in readable text; a correct one when the group has one."""
        if time.monotonic() < self._next_sample_at:
            return
        self._next_sample_at = time.monotonic() + SAMPLE_EVERY_S
        values = await asyncio.to_thread(sample_values, group, self._decode)
        await self._call(self._samples.add, values)


async def _first_of(tasks: set[asyncio.Task[None]], timeout_s: float) -> None:
    """Until one of the tasks ends, or the time is over."""
    if tasks:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    else:
        await asyncio.sleep(timeout_s)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
