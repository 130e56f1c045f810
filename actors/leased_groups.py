"""The groups of one feed that an actor has leased: claims, samples and publishes them (arrows 1 to 5).

consumes    group ids of the feed
waits for   the engine and the verifiers
unblocked by the feed, which ends the lease when the group is published or failed, or the lease expires
"""

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from actors.actor_broker import ActorBroker
from actors.chat_template import PromptFault
from actors.engine import Engine
from actors.rollout_writer import PromptTooLong, RolloutWriter
from broker.errors import FeedExhausted
from broker.failpoints import failpoint
from broker.feed import Feed
from broker.records import Assignment, RolloutGroup
from conf.schema import Sampling

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class GroupSource:
    """A feed, the meaning of its group ids, and how their rollouts are sampled."""

    feed: Feed
    assignment: Callable[[int], Assignment]
    """Group id -> assignment, by the mixture of a training run or the task list of a sampling stage."""
    sampling: Sampling


@dataclass(frozen=True, kw_only=True)
class Admission:
    """Arguments of a claim; see `Feed.claim`."""

    batch_groups: int
    """Groups of one optimizer step."""
    max_lag: int | None
    """None: no bound."""
    lease_s: float
    high_water: int
    """Number of groups on the rollout stream from which on the feed issues nothing."""


class LeasedGroups:
    """Claims groups of one source and publishes each while its lease holds."""

    def __init__(
        self,
        source: GroupSource,
        broker: ActorBroker,
        *,
        engine: Engine,
        writer: RolloutWriter,
        admission: Admission,
        in_history: bool,
    ) -> None:
        """`in_history`: whether published and failed groups are written to the actor's history."""
        self._source = source
        self._broker = broker
        self._engine = engine
        self._writer = writer
        self._admission = admission
        self._in_history = in_history
        self._tokens: dict[int, str] = {}
        """Group id -> claim token of the groups in flight."""
        self.waits_for = ""
        """Why the feed issued no group when it last refused one (`Feed.claim`)."""

    @property
    def in_flight(self) -> int:
        """Groups that are claimed and not yet published or failed."""
        return len(self._tokens)

    def claim_tokens(self) -> Iterator[str]:
        """INCARNATION/0, INCARNATION/1, ...; `Feed.claim` recognises a repeated claim by its token."""
        return (f"{self._broker.incarnation}/{n}" for n in itertools.count())

    async def claim(self, token: str) -> int | None:
        """Leases a group id; None when the feed issues none at present or is exhausted."""
        try:
            group_id = await self._broker.call(
                self._source.feed.claim,
                token,
                held_version=self._engine.version,
                batch_groups=self._admission.batch_groups,
                max_lag=self._admission.max_lag,
                lease_s=self._admission.lease_s,
                high_water=self._admission.high_water,
                refused=self._note_refusal,
            )
        except FeedExhausted:
            return None
        if group_id is not None:
            self._tokens[group_id] = token
        return group_id

    def _note_refusal(self, reason: str) -> None:
        self.waits_for = reason

    async def write(self, group_id: int, token: str) -> RolloutGroup | None:
        """Samples and publishes a claimed group. None when it failed, or when another actor now holds its lease."""
        call, feed = self._broker.call, self._source.feed
        try:
            failpoint("actor.claimed")
            assignment = await call(self._source.assignment, group_id)
            group = await self._writer.write(assignment, self._source.sampling)
            failpoint("actor.before_publish")
        except (PromptTooLong, PromptFault) as error:
            log.warning("group %d failed: %s", group_id, error)
            if await call(feed.fail, group_id, token, error.reason) and self._in_history:
                self._broker.history.add("fail", group_id=group_id, reason=error.reason)
            return None
        else:
            if await call(feed.publish, group_id, token, group):
                failpoint("actor.after_publish")
                if self._in_history:
                    self._add_to_history(group)
                return group
            log.warning("group %d: the lease expired and the group was issued again; this copy is dropped", group_id)
            return None
        finally:
            self._tokens.pop(group_id, None)

    def _add_to_history(self, group: RolloutGroup) -> None:
        self._broker.history.add(
            "publish",
            group_id=group.group_id,
            problem_id=group.problem_id,
            arm=group.arm,
            guidance_chars=group.guidance_chars,
        )

    async def renew(self) -> None:
        """Extends the leases of all groups in flight."""
        if self._tokens:
            group_ids, owner = list(self._tokens), self._broker.incarnation
            await self._broker.call(self._source.feed.renew, group_ids, owner, lease_s=self._admission.lease_s)

    async def release(self) -> None:
        """Returns all leases of this incarnation; the groups are issued again."""
        await self._broker.call(self._source.feed.release, self._broker.incarnation)
