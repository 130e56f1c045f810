"""Supervised fine-tuning on demonstrations, with checkpoints (POPE section 6, appendix C, table 3).

consumes    tokenized demonstrations, the same on all ranks
waits for   nothing
ended by    its last step; or `Control.stop`, after which it saves a checkpoint to resume from

The loss of a step is the mean cross entropy over the response tokens of its demonstrations, over all ranks; prompts
carry no loss. The batches are a pure function of the seed, so a resumed run reaches bit-identical weights.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from broker.connection import Retrying, connect
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.reports import SftStep
from conf.schema import LearnerSettings, RunConfig
from learner.batch_feed import Row, build_step
from learner.deepspeed_engine import DeepSpeedEngine
from learner.divergence import SkippedSteps
from learner.heartbeat_thread import HeartbeatThread
from learner.schedule import warmup_then_linear
from learner.sft_batches import Curriculum, Example, as_groups
from learner.trainable import Trainable


class FineTuner:
    """One DeepSpeed rank. Learning rate and number of ranks are set in `config.sft`, the rest in `config.learner`.

    RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT are set by the caller.
    """

    def __init__(
        self,
        config: RunConfig,
        examples: Sequence[Example],
        *,
        rank: int,
        redis_url: str,
        checkpoints: Path,
        model_path: Path,
    ) -> None:
        self._config, self._examples = config, examples
        self._checkpoints, self._model_path = checkpoints, model_path
        self._retry = Retrying(config.deploy.dead_after_s)
        client = connect(redis_url, client_name=f"sft-{rank}", timeout_s=config.broker.connect_timeout_s)
        keys = Keys(config.run.name)
        self._metrics = Metrics(client, keys, keep=config.broker.kept_reports)
        self._control = Control(client, keys)
        self._heartbeat = HeartbeatThread(Heartbeats(client, keys), f"learner-{rank}", config.deploy.heartbeat_s)
        self._curriculum = Curriculum(len(examples), config.sft.batch_samples, config.sft.epochs, config.run.seed)
        self._skipped = SkippedSteps(f"lower sft.learning_rate={config.sft.learning_rate:g}")
        self._step = 0
        self._saved = 0
        self._reported = 0

    def run(self) -> None:
        """Trains until the last step, or until the run is stopped."""
        with self._heartbeat:
            self._open()
            try:
                self._resume()
                while self._step < self._curriculum.num_steps and not self._stopped():
                    self._heartbeat.status = f"fine-tuning, step {self._step + 1}"
                    self._end_step(self._train(self._step + 1))
                self._save()
            finally:
                self._trainable.engine.close()

    def _open(self) -> None:
        """Loads the model onto its device and joins the process group."""
        self._heartbeat.status = "loading the model"
        digest = hashlib.sha256(b"".join(e.prompt_ids + e.response_ids for e in self._examples)).hexdigest()
        self._trainable = Trainable(
            self._config.learner,
            dtype=self._config.model.dtype,
            device=self._config.deploy.device,
            model_path=self._model_path,
            checkpoints=self._checkpoints,
            temperature=1.0,  # SFT trains the model's own distribution; RL may sample at another temperature
            more_settings={"sft.examples_sha256": digest},
        )
        self._ranks = self._trainable.engine.ranks

    def _resume(self) -> None:
        self._heartbeat.status = "looking for a checkpoint"
        self._step = self._saved = self._trainable.resume() or 0
        reports = self._retry(lambda: self._metrics.read(SftStep))
        self._reported = reports[-1].step if reports else 0

    def _stopped(self) -> bool:
        """Whether the run was stopped; rank 0 decides for all ranks."""
        return bool(self._ranks.from_first(int(self._ranks.first and bool(self._retry(self._control.stopped)))))

    def _train(self, step: int) -> SftStep:
        """Takes one optimizer step. Returns its report."""
        sft, curriculum = self._config.sft, self._curriculum
        examples = [self._examples[i] for i in curriculum.examples(step)]
        learning_rate = sft.learning_rate * warmup_then_linear(step, curriculum.num_steps, sft.warmup_share)
        return run_sft_step(
            self._trainable.engine,
            examples,
            step=step,
            epoch=curriculum.epoch(step),
            learning_rate=learning_rate,
            settings=self._config.learner,
        )

    def _end_step(self, report: SftStep) -> None:
        """Reports a step and, if due, saves a checkpoint."""
        self._step = report.step
        if self._ranks.first and self._step > self._reported:  # a step that is trained again was reported before
            self._retry(lambda: self._metrics.report(report))
        self._skipped.add(self._step, applied=report.applied)
        every = self._config.learner.checkpoint_every
        if every and self._step % every == 0:
            self._save()

    def _save(self) -> None:
        if self._saved == self._step:
            return
        self._heartbeat.status = f"saving step {self._step}"
        if self._trainable.save(self._step):
            self._saved = self._step


@dataclass(frozen=True)
class CrossEntropy:
    """The loss of a step: the mean cross entropy of its tokens."""

    num_tokens: int
    """Response tokens of the step, over all ranks."""
    couples_tokens: bool = False

    def total(self, row: Row, logprobs: Tensor, entropies: Tensor) -> Tensor:
        """The row's share of the loss, a scalar; logprobs [N]."""
        return -(logprobs * row.weights).sum() / self.num_tokens


def run_sft_step(
    engine: DeepSpeedEngine,
    examples: Sequence[Example],
    *,
    step: int,
    epoch: int,
    learning_rate: float,
    settings: LearnerSettings,
) -> SftStep:
    """One optimizer step on these examples; called on all ranks with the same arguments."""
    start = time.perf_counter()
    ranks = engine.ranks
    batch = build_step(
        as_groups(examples),
        row_tokens=settings.row_tokens,
        rank=ranks.rank,
        world_size=ranks.world_size,
        packing=settings.packing,
    )
    sums = torch.zeros(2, dtype=torch.float64)
    objective = CrossEntropy(batch.num_tokens)
    for number, cpu_row in enumerate(batch.rows, start=1):
        row = cpu_row.to(engine.device)
        with engine.accumulate(last=number == len(batch.rows)):
            logprobs, entropies = engine.forward(row, objective)
            loss = objective.total(row, logprobs, entropies)
            engine.backward(loss)
        sums += torch.stack([loss.detach().double(), (entropies.detach() * row.weights).sum().double()]).cpu()
    applied, grad_norm = engine.step(learning_rate)
    loss_mean, entropy_sum = ranks.sum(sums).tolist()
    seconds = time.perf_counter() - start
    return SftStep(
        step=step,
        epoch=epoch,
        loss=loss_mean,
        entropy=entropy_sum / batch.num_tokens,
        grad_norm=grad_norm,
        learning_rate=learning_rate,
        applied=applied,
        samples=len(examples),
        tokens=batch.num_tokens,
        seconds=round(seconds, 4),
        packing_fill=round(batch.packing_fill, 4),
    )
