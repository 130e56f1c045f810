"""Arrows 6 and 7: a rollout group becomes a group with advantages and enters the ring, or is dropped by name."""

import logging
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from broker.connection import connect, with_retries
from broker.errors import RecordError, RingFull
from broker.failpoints import failpoint
from broker.history import History
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import RolloutGroup, TrainGroup, decode, float32_bytes
from broker.reports import KEPT
from broker.ring import Ring
from broker.run_record import born
from broker.streams import Delivery, RolloutStream
from broker.weights import WeightBoard
from conf.schema import RunConfig
from preprocess.advantages import group_advantages
from preprocess.filters import drop_reason
from preprocess.overlong import shaped_rewards
from preprocess.report_sums import Tally, group_end

T = TypeVar("T")

log = logging.getLogger(__name__)

MAX_DELIVERIES = 3
"""A group that failed this often, or took its preprocessor down with it, is a dead letter."""
MAX_REASON = 200
"""Characters of a reason in the history."""
READ_GROUPS = 8
REPORT_S = 1.0
RING_FULL_PAUSE_S = 0.1

Reference = Callable[[RolloutGroup], tuple[bytes, ...]]
"""Group -> log-probabilities of its tokens under a frozen model; see `preprocess.reference`."""


class Preprocessor:
    """One preprocessing worker; any number may share the stream.

    Consumes: groups of the rollout stream, each delivered at least once, ended exactly once.
    Waits for: a group on the stream; under `broker.ring.when_full: wait` also for room in the ring.
    Unblocked by: actors that publish; the learner that takes a batch; `Control.stop`, which ends `run`.
    """

    def __init__(
        self,
        config: RunConfig,
        redis_url: str,
        consumer: str,
        reference: Reference | None = None,
        *,
        run_folder: Path | None = None,
        incarnation: str | None = None,
    ) -> None:
        """`consumer` names this worker on the stream, in heartbeats and in reports; `reference` is for the KL term.

        `incarnation` names this incarnation in the history, which is written below `run_folder`.
        """
        self._config, self._consumer, self._reference = config, consumer, reference
        self._client = client = connect(redis_url, client_name=consumer, timeout_s=config.broker.connect_timeout_s)
        self._keys = keys = Keys(config.run.name)
        ring = config.broker.ring
        self._stream = RolloutStream(client, keys)
        self._ring = Ring(client, keys, ring.capacity, ring.when_full)
        self._board = WeightBoard(client, keys)
        self._metrics = Metrics(client, keys, keep=config.broker.kept_reports)
        self._heartbeats = Heartbeats(client, keys)
        self._control = Control(client, keys)
        self._history = History(run_folder, consumer, incarnation)
        self._tally = Tally()
        self._beat_due = self._report_due = 0.0

    def run(self) -> None:
        """Work until the run is stopped. Redis may be away for `deploy.dead_after_s`; then this raises."""
        with closing(self._history):
            self._patiently(self._stream.open)
            self._history.add("start", server=self._patiently(lambda: born(self._client, self._keys)))
            while not self._stopped():
                self._beat("waiting for groups")
                if deliveries := self._patiently(self._read):
                    failpoint("preprocess.after_read")
                for position, delivery in enumerate(deliveries):
                    in_hand = deliveries[position:]
                    if self._beat("working"):
                        self._keep(in_hand)
                    if not self._end(delivery, in_hand):
                        return
                self._report_when_due()
            self._report()

    def _read(self) -> list[Delivery]:
        return self._stream.read(
            self._consumer,
            count=READ_GROUPS,
            block_s=min(self._config.deploy.heartbeat_s, REPORT_S),
            claim_idle_s=self._config.preprocess.claim_idle_s,
        )

    def _end(self, delivery: Delivery, in_hand: list[Delivery]) -> bool:
        """Bring one delivery to its end; False: the run was stopped while it waited for room."""
        if delivery.deliveries > MAX_DELIVERIES:
            self._bury(delivery, f"delivered {delivery.deliveries} times, never finished")
            return True
        try:
            group = decode(delivery.frame, RolloutGroup)
            train_group, reason = self.valued(group)
        except RecordError as error:
            self._bury(delivery, str(error))
            return True
        except Exception as error:  # a group we cannot work on must not end the worker: it comes back, then is buried
            log.exception("%s: group %s raised", self._consumer, delivery.entry_id)
            if delivery.deliveries >= MAX_DELIVERIES:
                self._bury(delivery, f"{type(error).__name__}: {error}")
            else:
                self._tally.errors += 1
            return True

        step = self._patiently(self._board.version)
        if reason is not None:
            ended = self._patiently(lambda: self._ring.drop(delivery.entry_id, group, reason, step=step))
            if ended:
                self._history.add("drop", group_id=group.group_id, reason=reason)
        else:
            failpoint("preprocess.before_put")
            stored = self._put(delivery, train_group, step, in_hand)
            if stored is None:
                return False
            ended = stored
            if stored:
                failpoint("preprocess.after_put")
                self._history.add("put", group_id=group.group_id, versions=(group.oldest_version, group.newest_version))
        if ended:
            self._note(group, reason or KEPT, step)
        return True

    def valued(self, group: RolloutGroup) -> tuple[TrainGroup, str | None]:
        """The group with its advantages, and the reason to drop it; one that is kept gets reference logprobs too."""
        settings = self._config.preprocess
        rewards = shaped_rewards(
            group,
            overlong_tokens=settings.overlong_tokens,
            max_completion_tokens=self._config.actors.max_completion_tokens,
        )
        advantages = group_advantages(rewards, settings)
        reason = drop_reason(rewards, advantages, settings)
        reference = self._reference(group) if self._reference is not None and reason is None else None
        trained = TrainGroup(
            rollout_group=group, advantages=float32_bytes(advantages), reference_logprobs=reference
        )
        return trained, reason

    def _put(self, delivery: Delivery, group: TrainGroup, step: int, in_hand: list[Delivery]) -> bool | None:
        """Put into the ring, waiting for room while the policy says so; None: the run was stopped meanwhile."""
        while True:
            try:
                return self._patiently(lambda: self._ring.put(delivery.entry_id, group, step=step))
            except RingFull:
                if self._stopped():
                    return None
                if self._beat("waiting for room in the ring"):
                    self._keep(in_hand)
                self._report_when_due()
                time.sleep(RING_FULL_PAUSE_S)

    def _keep(self, in_hand: list[Delivery]) -> None:
        """Say that these are being worked on, so that no other worker takes them over."""
        self._patiently(lambda: self._stream.keep(self._consumer, [d.entry_id for d in in_hand]))

    def _bury(self, delivery: Delivery, reason: str) -> None:
        log.error("%s: dead letter %s: %s", self._consumer, delivery.entry_id, reason)
        if self._patiently(lambda: self._stream.dead_letter(delivery.entry_id, reason)):
            self._tally.outcomes["unreadable"] += 1
            self._history.add("bury", reason=f"{delivery.entry_id} {reason}"[:MAX_REASON])

    def _note(self, group: RolloutGroup, outcome: str, step: int) -> None:
        self._tally.add(group, outcome)
        self._patiently(lambda: self._metrics.report(group_end(group, outcome, step)))

    def _report_when_due(self) -> None:
        if time.monotonic() >= self._report_due:
            self._report()

    def _report(self) -> None:
        """Send what was counted since the last report, with the fill of the ring and of the stream."""
        tally, self._tally = self._tally, Tally()
        report = tally.report(
            self._consumer,
            step=self._patiently(self._board.version),
            ring_samples=self._patiently(self._ring.occupancy),
            stream_groups=self._patiently(self._stream.depth),
        )
        self._patiently(lambda: self._metrics.report(report))
        self._report_due = time.monotonic() + REPORT_S

    def _beat(self, status: str) -> bool:
        """A sign of life when one is due; whether it was."""
        if time.monotonic() < self._beat_due:
            return False
        self._patiently(lambda: self._heartbeats.beat(self._consumer, status))
        period_s = min(self._config.deploy.heartbeat_s, self._config.preprocess.claim_idle_s / 3)
        self._beat_due = time.monotonic() + period_s
        return True

    def _stopped(self) -> bool:
        return self._patiently(self._control.stopped) is not None

    def _patiently(self, operation: Callable[[], T]) -> T:
        """Every call to Redis is safe to repeat, so a server that restarts is waited for."""
        return with_retries(operation, deadline_s=self._config.deploy.dead_after_s)
