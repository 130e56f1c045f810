"""The learner: takes batches, trains, publishes weights, saves checkpoints (arrows 8 to 10).

consumes    batches of whole groups from the ring; repeated requests for step s get the same batch
waits for   `learner.batch_samples` samples within `learner.max_lag` in the ring
unblocked by preprocessors, which fill the ring; `Control.stop`, which ends `run`

A learner starts from the newest intact checkpoint c. Batches c + 1 ... t that an earlier incarnation took are in the
batch log: they are trained again in the same order, with the same result, before new batches are taken.
"""

import logging
import time
from pathlib import Path

import msgspec

from broker.connection import Retrying, connect
from broker.failpoints import failpoint
from broker.history import History
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.records import TrainGroup
from broker.reports import CHECKPOINT, OTHER, WAIT_INPUT, WEIGHTS
from broker.ring import Ring
from broker.role_clock import RoleClock
from broker.rollout_samples import RolloutSamples
from broker.run_record import read_keys_id
from broker.weights import WeightBoard
from conf.schema import RunConfig
from learner.batch_log import BatchLog
from learner.choose_publisher import make_publisher
from learner.delayed_weights import DelayedWeights
from learner.divergence import PolicyCollapsed, SkippedSteps
from learner.engine_bound import engine_bound
from learner.heartbeat_thread import HeartbeatThread
from learner.interference import RewardTrend
from learner.manifest import read_manifest
from learner.peak_flops import peak_flops
from learner.ratio_recorder import RatioRecorder
from learner.step import StepReport, run_step
from learner.trainable import Trainable
from learner.watchdog import Verdict, Watchdog
from learner.weight_publisher import Publisher, PublishError

log = logging.getLogger(__name__)

POLL_S = 0.02
WAIT_SLICE_S = 2.0
"""Longest time that rank 0 waits for a batch before it synchronizes with the other ranks, seconds."""
_WAIT, _TRAIN, _STOP = 0, 1, 2


class Learner:
    """One DeepSpeed rank. Rank 0 decides for all ranks; only rank 0 commits, publishes and reports.

    RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT are set by the caller.
    """

    def __init__(
        self,
        config: RunConfig,
        *,
        rank: int,
        redis_url: str,
        run_folder: Path,
        model_path: Path,
        publisher: Publisher | None = None,
        incarnation: str | None = None,
    ) -> None:
        """`publisher` None: the one of `weights.backend`. `incarnation` identifies this process in the history and the
        ring; `run` raises Fenced once the driver has admitted another one."""
        self._config, self._model_path = config, model_path
        self._client = client = connect(
            redis_url,
            client_name=f"learner-{rank}",
            timeout_s=config.broker.connect_timeout_s,
            retry_s=config.deploy.dead_after_s,  # for publishers, which do not retry
        )
        self._retry = Retrying(config.deploy.dead_after_s)
        self._keys = keys = Keys(config.run.name)
        ring, incarnation = config.broker.ring, incarnation or ""
        self._batches = BatchLog(
            Ring(client, keys, ring.capacity, ring.when_full, incarnation=incarnation), self._retry
        )
        self._board = WeightBoard(client, keys, incarnation=incarnation)
        self._metrics = Metrics(client, keys, keep=config.broker.kept_reports)
        self._control = Control(client, keys)
        self._heartbeat = HeartbeatThread(Heartbeats(client, keys), f"learner-{rank}", config.deploy.heartbeat_s)
        self._clock = RoleClock(f"learner-{rank}")
        self._ratios = RatioRecorder(RolloutSamples(client, keys), self._retry) if rank == 0 else None
        self._history = History(run_folder if rank == 0 else None, f"learner-{rank}", incarnation)
        self._publisher = publisher
        self._checkpoint_folder = run_folder / "checkpoints"
        self._step = 0
        self._committed_before = 0
        """The newest step committed by an earlier incarnation."""
        self._delayed = DelayedWeights(config.learner.forced_lag or 0)
        self._gathered = self._published = -1
        """The newest versions whose weights were collected and published; they differ with a forced lag."""
        self._saved = -1
        self._skipped = SkippedSteps(f"lower learner.learning_rate={config.learner.learning_rate:g}")
        self._trend = RewardTrend()
        self._watchdog = Watchdog(config.learner.watchdog)

    def run(self) -> None:
        """Trains until `run.max_steps` or until the run is stopped."""
        with self._heartbeat:
            self._open()
            try:
                self._resume()
                self._publish()
                if self._ranks.first:
                    self._retry(self._board.learner_ready)
                self._clock.restart()
                while (groups := self._next_batch()) is not None:
                    self._end_step(self._train(groups))
                self._end()
            finally:
                self._close()

    def _open(self) -> None:
        """Loads the model onto its device and joins the process group."""
        self._heartbeat.status = "loading the model"
        config = self._config
        self._trainable = Trainable(
            config.learner,
            dtype=config.model.dtype,
            device=config.deploy.device,
            model_path=self._model_path,
            checkpoints=self._checkpoint_folder,
            temperature=config.actors.temperature,
            entropy_gradient=config.learner.entropy_coef > 0,
        )
        self._engine, self._checkpoints = self._trainable.engine, self._trainable.checkpoints
        self._ranks = self._engine.ranks
        self._peak_flops = peak_flops(self._engine.dtype, self._engine.device)
        if self._ranks.first and self._publisher is None:
            self._publisher = make_publisher(
                config.weights,
                self._board,
                num_actors=config.actors.num_actors,
                tensor_parallel=config.actors.tensor_parallel,
            )

    def _resume(self) -> None:
        """Loads the newest intact checkpoint; without one, training starts from the initial weights."""
        self._heartbeat.status = "looking for a checkpoint"
        resumed = self._trainable.resume()
        if resumed is not None:
            self._step = self._saved = resumed
            stored = read_manifest(self._checkpoints.folder_of(resumed)).get("watchdog")
            self._watchdog = Watchdog(self._config.learner.watchdog, stored)
            self._watchdog.saved(resumed)
        if self._ranks.first:
            keys_id = self._retry(lambda: read_keys_id(self._client, self._keys))
            self._history.add("start", server=keys_id, step=self._step)
            self._committed_before = self._batches.resume(self._step)
        if resumed is None and self._config.learner.watchdog.action == "rollback":
            self._save()  # the first checkpoint that a rollback may restore

    def _next_batch(self) -> list[TrainGroup] | None:
        """The groups of the next step, the same on all ranks; None when the run ends."""
        step = self._step + 1
        while True:
            self._heartbeat.status = f"waiting for the batch of step {step}"
            self._report_times()
            self._clock.enter(WAIT_INPUT)
            decision = self._ranks.from_first(self._decide(step) if self._ranks.first else _WAIT)
            self._clock.enter(OTHER)
            if decision == _STOP:
                return None
            if decision == _TRAIN:
                groups = self._batches.read(step, self._ranks)
                self._history.add("batch", step=step, group_ids=self._batches.group_ids(step))
                failpoint("learner.after_take")
                return groups

    def _decide(self, step: int) -> int:
        """The next action of all ranks, decided by rank 0. Waits up to `WAIT_SLICE_S` seconds for a batch."""
        deadline = time.monotonic() + WAIT_SLICE_S
        settings = self._config.learner
        if step > self._config.run.max_steps:
            self._retry(lambda: self._control.stop(f"run.max_steps={self._config.run.max_steps} reached"))
        while time.monotonic() < deadline:
            # A committed step is trained again even in a run that stops, so that the final weights include it.
            if step > self._committed_before and self._retry(self._control.stopped):
                return _STOP
            if self._batches.take(step, settings.batch_samples, max_lag=settings.max_lag):
                return _TRAIN
            time.sleep(POLL_S)
        return _WAIT

    def _train(self, groups: list[TrainGroup]) -> StepReport:
        step = self._step + 1
        self._heartbeat.status = f"training step {step}"
        return run_step(
            self._engine,
            groups,
            self._config.learner,
            step=step,
            max_completion_tokens=self._config.actors.max_completion_tokens,
            engine_bound=engine_bound(self._config),
            observer=self._ratios,
            watchdog=self._watchdog,
            clock=self._clock,
        )

    def _end_step(self, report: StepReport) -> None:
        """Commits, publishes, reports and, if due, saves a step."""
        self._step = report.step
        changes = self._trend.update(report.step, report.reward_mean)
        new = self._ranks.first and self._batches.commit(report.step)
        failpoint("learner.after_commit")
        self._history.add("commit", step=report.step, reason=report.skipped)
        rolled_back = self._roll_back(report.verdict)
        started = time.perf_counter()
        due = self._step % self._config.weights.every_steps == 0
        if due or rolled_back or self._step == self._config.run.max_steps:
            self._publish()
        if new:  # a step that is trained again was reported the first time
            self._report(report, changes, publish_s=time.perf_counter() - started)
        self._end_if_lost(report)
        every = self._config.learner.checkpoint_every
        if rolled_back or (every and self._step % every == 0):
            self._save()

    def _roll_back(self, verdict: Verdict) -> bool:
        """Restores weights, moments and random state of a checkpoint, if so decided, in place of the step's update.

        They are published and saved as those of the present step. Returns whether it did.
        """
        if verdict.roll_back_to is None:
            return False
        self._heartbeat.status = f"restoring the checkpoint of step {verdict.roll_back_to}"
        log.warning("rolling back to step %d, learning rate times %g", verdict.roll_back_to, self._watchdog.rate)
        self._trainable.restore(verdict.roll_back_to)
        return True

    def _end_if_lost(self, report: StepReport) -> None:
        """Raises PolicyCollapsed or TrainingDiverged when more steps would not help."""
        verdict, watchdog = report.verdict, self._watchdog
        if verdict.gives_up:
            healthy = self._checkpoints.folder_of(min(watchdog.checkpoints))  # the confirmed one
            rate = self._config.learner.learning_rate * watchdog.rate
            raise PolicyCollapsed(report.step, str(verdict), watchdog.health.rollbacks, healthy, rate)
        if verdict.reasons:
            log.warning("step %d is unhealthy%s: %s", report.step, "" if report.applied else " and skipped", verdict)
        if not verdict.skip:
            self._skipped.add(report.step, applied=report.applied)

    def _end(self) -> None:
        """Publishes and saves the final weights."""
        try:
            self._publish()
        except PublishError as error:  # engines may have stopped already, and do not need the final weights
            log.warning("the final weights were not published: %s", error)
        self._save()
        self._report_times(last=True)

    def _publish(self) -> None:
        """Publishes the current weights to the engines, or those of `learner.forced_lag` steps before, unless done.

        A skipped step is published too: its weights are unchanged, but engines need its version, because otherwise
        `learner.max_lag` could exclude all they sample from the next step.
        """
        if self._gathered == self._step:
            return
        self._heartbeat.status = f"publishing version {self._step}"
        self._clock.enter(WEIGHTS)
        due, weights = self._delayed.add(self._step, self._engine.gather_weights())
        self._gathered = self._step
        if self._publisher is not None and due > self._published:
            # Written first, so that the history has a line for every version an engine holds.
            self._history.add("announce", version=due)
            self._publisher.publish(due, weights.items())
        self._published = due
        self._clock.enter(OTHER)

    def _save(self) -> None:
        """Saves a checkpoint of the current step and trims the batches that no kept checkpoint needs."""
        if self._saved == self._step:
            return
        self._heartbeat.status = f"saving step {self._step}"
        self._clock.enter(CHECKPOINT)
        # A learner that was replaced must not add a checkpoint to those of its successor.
        health = self._watchdog.health
        facts = {"healthy": health.is_good, "watchdog": health.plain()}
        confirm = self._batches.require_admitted
        if not self._trainable.save(self._step, confirm, facts=facts, also_keep=self._watchdog.checkpoints):
            return
        self._saved = self._step
        self._watchdog.saved(self._step)
        if self._ranks.first:
            saved = read_manifest(self._checkpoints.folder_of(self._step))
            self._history.add("checkpoint", step=self._step, sha256=saved["sha256"])
        newest = self._checkpoints.kept_steps()[-self._config.learner.keep_checkpoints :]
        if self._ranks.first and len(newest) == self._config.learner.keep_checkpoints:
            # Up to the oldest of them: if a newer one is damaged, training resumes from the oldest.
            self._batches.trim(min(newest))
        self._clock.enter(OTHER)

    def _report(self, report: StepReport, reward_changes: dict[str, float], *, publish_s: float) -> None:
        published = msgspec.structs.replace(
            report.published(),
            reward_change=reward_changes,
            mfu=self._utilization(report),
            publish_s=round(publish_s, 4),
            checkpoint_step=self._saved,
            checkpoint_failures=self._checkpoints.failures,
        )
        self._retry(lambda: self._metrics.report(published))
        if self._ratios is not None:
            self._ratios.write(report.step)

    def _utilization(self, report: StepReport) -> float | None:
        """`LearnerStep.mfu`."""
        return round(report.flops / (report.seconds * self._peak_flops), 5) if report.flops else None

    def _report_times(self, *, last: bool = False) -> None:
        """Reports where the time went, if the last report is old enough or this is the `last` one."""
        if self._clock.due or last:
            times = self._clock.report()
            self._retry(lambda: self._metrics.report(times))

    def _close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
        self._engine.close()
        self._history.close()
