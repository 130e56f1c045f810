"""The preprocessor: computes the advantages of a rollout group and puts it into the ring, or drops it (arrows 6, 7)."""

import logging
import time
from contextlib import closing
from pathlib import Path

from broker.connection import Retrying, connect
from broker.errors import PluginFailed, RecordError, RingFull
from broker.failpoints import failpoint
from broker.history import History
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import RolloutGroup, TrainGroup, decode
from broker.reports import KEPT, OTHER, WAIT_INPUT, WAIT_ROOM, WORK
from broker.ring import Ring
from broker.role_clock import RoleClock
from broker.run_record import read_keys_id
from broker.streams import Delivery, RolloutStream
from broker.weights import WeightBoard
from conf.schema import RunConfig
from preprocess.report_sums import Tally, group_end
from preprocess.train_groups import ReferenceLogprobs, to_train_group

log = logging.getLogger(__name__)

MAX_DELIVERIES = 3
"""Number of failed deliveries (an exception, or a crash of the worker) after which a group becomes a dead letter."""
MAX_REASON = 200
"""Largest number of characters of a reason in the history."""
READ_GROUPS = 8
REPORT_S = 1.0
RING_FULL_PAUSE_S = 0.1


class Preprocessor:
    """One preprocessing worker; any number of them may share the stream.

    Consumes: groups of the rollout stream, each delivered at least once and finished exactly once.
    Waits for: a group on the stream; under `broker.ring.when_full: wait` also for room in the ring.
    Unblocked by: actors that publish; the learner that takes a batch; `Control.stop`, which ends `run`.
    """

    def __init__(
        self,
        config: RunConfig,
        redis_url: str,
        consumer: str,
        reference: ReferenceLogprobs | None = None,
        *,
        run_folder: Path | None = None,
        incarnation: str | None = None,
    ) -> None:
        """`consumer`: name of this worker on the stream, in heartbeats and in reports. `reference`: for the KL term.

        `incarnation`: name of this process in the history, which is written under `run_folder`.
        """
        self._config, self._consumer, self._reference = config, consumer, reference
        self._client = client = connect(redis_url, client_name=consumer, timeout_s=config.broker.connect_timeout_s)
        self._retry = Retrying(config.deploy.dead_after_s)  # every call below is safe to repeat
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
        self._clock = RoleClock(consumer)
        self._beat_due = self._report_due = 0.0

    def run(self) -> None:
        """Works until the run is stopped.

        Raises BrokerLost when Redis is unreachable for `deploy.dead_after_s` s, PluginFailed when the user's advantage
        fails.
        """
        with closing(self._history):
            self._retry(self._stream.open)
            self._history.add("start", server=self._retry(lambda: read_keys_id(self._client, self._keys)))
            while not self._stopped():
                self._beat("waiting for groups")
                self._clock.enter(WAIT_INPUT)
                if deliveries := self._retry(self._read):
                    failpoint("preprocess.after_read")
                self._clock.enter(WORK)
                for position, delivery in enumerate(deliveries):
                    unfinished = deliveries[position:]
                    if self._beat("working"):
                        self._extend_claims(unfinished)
                    if not self._finish(delivery, unfinished):
                        return
                self._clock.enter(OTHER)
                self._report_when_due()
            self._report()

    def _read(self) -> list[Delivery]:
        return self._stream.read(
            self._consumer,
            count=READ_GROUPS,
            block_s=min(self._config.deploy.heartbeat_s, REPORT_S),
            claim_idle_s=self._config.preprocess.claim_idle_s,
        )

    def _finish(self, delivery: Delivery, unfinished: list[Delivery]) -> bool:
        """Puts the group of a delivery into the ring, drops it, or makes it a dead letter.

        `unfinished`: the deliveries this worker has not finished. False: the run was stopped while the group waited for
        room in the ring.
        """
        if delivery.deliveries > MAX_DELIVERIES:
            self._dead_letter(delivery, f"delivered {delivery.deliveries} times, never finished")
            return True
        step = self._retry(self._board.version)
        try:
            group = decode(delivery.frame, RolloutGroup)
            train_group, reason = to_train_group(
                group,
                self._config.preprocess,
                max_completion_tokens=self._config.actors.max_completion_tokens,
                # Once the penalty has faded at the next step, it has at every step that may train the group.
                reference=self._reference if self._config.learner.kl_coef_at(step + 1) > 0 else None,
            )
        except RecordError as error:
            self._dead_letter(delivery, str(error))
            return True
        except PluginFailed:  # the user's advantage would fail on other groups, too: the run ends with its error
            raise
        except Exception as error:  # one bad group must not end the worker; after its last delivery: a dead letter
            log.exception("%s: group %s raised", self._consumer, delivery.entry_id)
            if delivery.deliveries >= MAX_DELIVERIES:
                self._dead_letter(delivery, f"{type(error).__name__}: {error}")
            else:
                self._tally.errors += 1
            return True

        if reason is not None:
            ended = self._retry(lambda: self._ring.drop(delivery.entry_id, group, reason, step=step))
            if ended:
                self._history.add("drop", group_id=group.group_id, reason=reason)
        else:
            failpoint("preprocess.before_put")
            stored = self._put(delivery, train_group, step, unfinished)
            if stored is None:
                return False
            ended = stored
            if stored:
                failpoint("preprocess.after_put")
                self._history.add("put", group_id=group.group_id, versions=(group.oldest_version, group.newest_version))
        if ended:
            self._count(group, reason or KEPT, step)
        return True

    def _put(self, delivery: Delivery, group: TrainGroup, step: int, unfinished: list[Delivery]) -> bool | None:
        """Puts a group into the ring; under `when_full: wait` waits for room. None: the run was stopped."""
        while True:
            try:
                return self._retry(lambda: self._ring.put(delivery.entry_id, group, step=step))
            except RingFull:
                if self._stopped():
                    return None
                if self._beat("waiting for room in the ring"):
                    self._extend_claims(unfinished)
                self._report_when_due()
                with self._clock.within(WAIT_ROOM):
                    time.sleep(RING_FULL_PAUSE_S)

    def _extend_claims(self, unfinished: list[Delivery]) -> None:
        """Prevents other workers from taking over deliveries that this worker still processes."""
        self._retry(lambda: self._stream.keep(self._consumer, [d.entry_id for d in unfinished]))

    def _dead_letter(self, delivery: Delivery, reason: str) -> None:
        log.error("%s: dead letter %s: %s", self._consumer, delivery.entry_id, reason)
        if self._retry(lambda: self._stream.dead_letter(delivery.entry_id, reason)):
            self._tally.outcomes["unreadable"] += 1
            self._history.add("bury", reason=f"{delivery.entry_id} {reason}"[:MAX_REASON])

    def _count(self, group: RolloutGroup, outcome: str, step: int) -> None:
        self._tally.add(group, outcome)
        self._retry(lambda: self._metrics.report(group_end(group, outcome, step)))

    def _report_when_due(self) -> None:
        if time.monotonic() >= self._report_due:
            self._report()

    def _report(self) -> None:
        """Reports the counts since the last report, with the occupancy of the ring and the depth of the stream."""
        tally, self._tally = self._tally, Tally()
        report = tally.report(
            self._consumer,
            step=self._retry(self._board.version),
            ring_samples=self._retry(self._ring.occupancy),
            stream_groups=self._retry(self._stream.depth),
        )
        self._retry(lambda: self._metrics.report(report))
        if self._clock.due:
            times = self._clock.report()
            self._retry(lambda: self._metrics.report(times))
        self._report_due = time.monotonic() + REPORT_S

    def _beat(self, status: str) -> bool:
        """Sends a heartbeat if one is due; returns whether it was."""
        if time.monotonic() < self._beat_due:
            return False
        self._retry(lambda: self._heartbeats.beat(self._consumer, status))
        period_s = min(self._config.deploy.heartbeat_s, self._config.preprocess.claim_idle_s / 3)
        self._beat_due = time.monotonic() + period_s
        return True

    def _stopped(self) -> bool:
        return self._retry(self._control.stopped) is not None
