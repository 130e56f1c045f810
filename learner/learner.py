"""The learner: takes batches, trains, publishes weights, keeps checkpoints (arrows 8 to 10).

consumes    batches of the ring, in whole groups; step s gets the same batch however often it asks
waits for   the ring to hold `learner.batch_samples` samples that are young enough
unblocked by preprocessors, which fill the ring; `Control.stop`, which ends `run`

The newest intact checkpoint c is where a learner begins. Batches c + 1 ... t that were handed out before are logged and
are trained again, in the same order, to the same weights; only then the ring gives new ones.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from broker.connection import connect, with_retries
from broker.errors import ServerBehind
from broker.failpoints import failpoint
from broker.history import History
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import TrainGroup
from broker.ring import Ring
from broker.rollout_samples import Samples
from broker.run_record import born
from broker.weights import WeightBoard
from conf.schema import RunConfig
from learner.checkpoints import CheckpointError
from learner.choose_publisher import make_publisher
from learner.divergence import SkippedSteps
from learner.heartbeat_thread import Pulse
from learner.interference import RewardTrend
from learner.manifest import read_manifest
from learner.step import StepReport, run_step
from learner.trainable import Trainable
from learner.weight_publisher import Publisher, PublishError

T = TypeVar("T")

log = logging.getLogger(__name__)

POLL_S = 0.02
WAIT_SLICE_S = 2.0
"""Other ranks hear from rank 0 at least this often while it waits for a batch."""
NOT_FINITE = "gradient not finite"
_WAIT, _TRAIN, _STOP = 0, 1, 2


class Learner:
    """One DeepSpeed rank. Rank 0 alone talks to the board, commits, reports; it decides for all what comes next.

    RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT are set by the caller.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        rank: int,
        world_size: int,
        redis_url: str,
        run_folder: Path,
        model_path: Path,
        publisher: Publisher | None = None,
        incarnation: str | None = None,
    ) -> None:
        """`publisher` None: the one of `weights.backend`. `incarnation` names this process in history and ring;
        once the driver admits another one, `run` raises Fenced."""
        self._config, self._model_path = config, model_path
        self._client = connect(
            redis_url,
            client_name=f"learner-{rank}",
            timeout_s=config.broker.connect_timeout_s,
            patience_s=config.deploy.dead_after_s,  # for publishers, who know nothing of outages
        )
        self._keys = keys = Keys(config.run.name)
        ring, incarnation = config.broker.ring, incarnation or ""
        self._ring = Ring(self._client, keys, ring.capacity, ring.when_full, incarnation=incarnation)
        self._board = WeightBoard(self._client, keys, incarnation=incarnation)
        self._metrics = Metrics(self._client, keys, keep=config.broker.kept_reports)
        self._samples = Samples(self._client, keys)
        self._control = Control(self._client, keys)
        self._pulse = Pulse(Heartbeats(self._client, keys), f"learner-{rank}", config.deploy.heartbeat_s)
        self._history = History(run_folder if rank == 0 else None, f"learner-{rank}", incarnation)
        self._publisher = publisher
        self._rank, self._world_size = rank, world_size
        self._checkpoint_folder = run_folder / "checkpoints"
        self._step = 0
        self._counted = 0
        """Steps that were counted as trained before this incarnation began."""
        self._published = -1
        self._saved = -1
        self._trained: dict[int, tuple[int, ...]] = {}
        """Step -> its groups, of the steps that no kept checkpoint covers."""
        self._skipped = SkippedSteps(f"lower learner.learning_rate={config.learner.learning_rate:g}")
        self._trend = RewardTrend()

    def run(self) -> None:
        """Train until `run.max_steps` or until the run is stopped."""
        with self._pulse:
            self._open()
            try:
                self._resume()
                self._publish()
                while (groups := self._next_batch()) is not None:
                    self._pulse.status = f"training step {self._step + 1}"
                    watched = self._call(self._samples.shown) if self._ranks.first else set()
                    report = run_step(self._engine, groups, self._config, step=self._step + 1, watched=watched)
                    self._end_step(report)
                self._end()
            finally:
                self._close()

    def _open(self) -> None:
        """The model on its device, and the group of ranks."""
        self._pulse.status = "loading the model"
        config = self._config
        self._trainable = Trainable(
            config,
            model_path=self._model_path,
            checkpoints=self._checkpoint_folder,
            temperature=config.actors.temperature,
            entropy_gradient=config.learner.entropy_coef > 0,
        )
        self._engine, self._checkpoints = self._trainable.engine, self._trainable.checkpoints
        self._ranks = self._engine.ranks
        if self._ranks.first and self._publisher is None:
            self._publisher = make_publisher(config, self._board)

    def _resume(self) -> None:
        """Begin at the newest intact checkpoint; without one, at the starting weights."""
        self._pulse.status = "looking for a checkpoint"
        resumed = self._trainable.resume()
        if resumed is not None:
            self._step = self._saved = resumed
        if self._ranks.first:
            self._history.add("start", server=self._call(lambda: born(self._client, self._keys)), step=self._step)
            committed = self._counted = self._call(lambda: self._ring.adopt(self._step))
            if self._step < committed and self._call(lambda: self._ring.batch(self._step + 1)) is None:
                raise CheckpointError(
                    f"the newest intact checkpoint is of step {self._step}, but the batches after it are no longer "
                    f"kept (trained so far: {committed}); start a new run with model.path set to that checkpoint"
                )

    def _next_batch(self) -> list[TrainGroup] | None:
        """The groups of the next step, the same on all ranks; None when the run ends."""
        step = self._step + 1
        while True:
            self._pulse.status = f"waiting for the batch of step {step}"
            decision = self._ranks.from_first(self._decide(step) if self._ranks.first else _WAIT)
            if decision == _STOP:
                return None
            if decision == _TRAIN:
                groups = self._call(lambda: self._ring.batch(step))
                assert groups is not None, "rank 0 took this batch"
                self._trained[step] = tuple(group.rollout_group.group_id for group in groups)
                self._history.add("batch", step=step, group_ids=self._trained[step])
                failpoint("learner.after_take")
                return groups

    def _decide(self, step: int) -> int:
        """Rank 0: look for a batch for a moment."""
        deadline = time.monotonic() + WAIT_SLICE_S
        settings = self._config.learner
        if step > self._config.run.max_steps:
            self._call(lambda: self._control.stop(f"run.max_steps={self._config.run.max_steps} reached"))
        while time.monotonic() < deadline:
            # Counted steps are trained again even in a run that ends: the weights it leaves behind are to be theirs.
            if step > self._counted and self._call(self._control.stopped):
                return _STOP
            take = partial(self._ring.take, step, settings.batch_samples, max_lag=settings.max_lag)
            if self._known(take, step - 1) is not None:
                return _TRAIN
            time.sleep(POLL_S)
        return _WAIT

    def _end_step(self, report: StepReport) -> None:
        """Commit, publish, report, save: what one trained step owes the others."""
        self._step = report.step
        changes = self._trend.follow(report.step, report.reward_mean)
        fresh = self._ranks.first and self._known(partial(self._ring.commit, report.step), report.step)
        failpoint("learner.after_commit")
        self._history.add("commit", step=report.step, reason=None if report.applied else NOT_FINITE)
        started = time.perf_counter()
        if self._step % self._config.weights.every_steps == 0 or self._step == self._config.run.max_steps:
            self._publish()
        if fresh:  # a replayed step was reported the first time
            self._report(report, changes, publish_s=time.perf_counter() - started)
        self._skipped.look(report.step, applied=report.applied)
        every = self._config.learner.checkpoint_every
        if every and self._step % every == 0:
            self._save()

    def _end(self) -> None:
        """Leave behind the last weights: for the engines, and on the disk."""
        try:
            self._publish()
        except PublishError as error:  # engines may have ended before us; nothing depends on their taking these
            log.warning("the last weights were not published: %s", error)
        self._save()

    def _publish(self) -> None:
        """Offer the current weights to the engines, unless they were offered before.

        A step that was skipped is published too: its weights are those of the step before, and engines must come to
        hold its version, or a bound on the lag would keep them from writing anything the next step may train.
        """
        if self._published == self._step:
            return
        self._pulse.status = f"publishing version {self._step}"
        weights = self._engine.gather_weights()
        if self._publisher is not None:
            # Before, not after: no engine may be found to hold a version that no line tells of.
            self._history.add("announce", version=self._step)
            self._publisher.publish(self._step, weights.items())
        self._published = self._step

    def _save(self) -> None:
        """Make the current step durable; batches that no kept checkpoint needs are forgotten."""
        if self._saved == self._step:
            return
        self._pulse.status = f"saving step {self._step}"
        if not self._trainable.save(self._step, self._require_admitted):
            return
        self._saved = self._step
        if self._ranks.first:
            saved = read_manifest(self._checkpoints.folder_of(self._step))
            self._history.add("checkpoint", step=self._step, sha256=saved["sha256"])
        kept = self._checkpoints.kept_steps()
        if self._ranks.first and len(kept) == self._config.learner.keep_checkpoints:
            # Up to the oldest: a newer one may turn out damaged, and is then replayed from the one before.
            self._call(lambda: self._ring.trim(min(kept)))
            self._trained = {step: group_ids for step, group_ids in self._trained.items() if step > min(kept)}

    def _require_admitted(self) -> None:
        """No checkpoint of a learner that was replaced may be put beside those of its successor."""
        self._call(self._ring.still_admitted)

    def _report(self, report: StepReport, reward_changes: dict[str, float], *, publish_s: float) -> None:
        published = msgspec.structs.replace(
            report.published(),
            reward_change=reward_changes,
            publish_s=round(publish_s, 4),
            checkpoint_step=self._saved,
            checkpoint_failures=self._checkpoints.failures,
        )
        self._call(lambda: self._metrics.report(published))
        for (group_id, index), ratios in report.watched.items():
            self._call(partial(self._samples.add_ratios, group_id, index, report.step, ratios))

    def _close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
        self._engine.close()
        self._history.close()

    def _known(self, operation: Callable[[], T], step: int) -> T:
        """Do it; a server that was restarted and lost its last second is first told what was trained up to `step`."""
        try:
            return self._call(operation)
        except ServerBehind as error:
            log.warning("%s; it is told what was trained up to step %d", error, step)
            group_ids = [group_id for batch in self._trained.values() for group_id in batch]
            self._call(lambda: self._ring.adopt(step, group_ids))
            return self._call(operation)

    def _call(self, operation: Callable[[], T]) -> T:
        """One idempotent word with Redis, which may be away for as long as a silent role is borne with."""
        return with_retries(operation, deadline_s=self._config.deploy.dead_after_s)
