"""The fine-tuning stage of a run: DeepSpeed ranks, in place of the engines, train sft/model on demonstrations.

consumes    the metrics and heartbeats of the ranks
waits for   the last step
unblocked by the user's signal, upon which the ranks save and end; by a rank that dies or is silent for too long
"""

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from broker.errors import PopeError
from broker.keys import Keys
from broker.metrics import Control, Heartbeats, Metrics
from broker.reports import SFT, SftStep, from_fields
from conf.schema import RunConfig
from deploy.cluster.fleet import RoleFailed
from deploy.cluster.interrupts import Interrupts
from deploy.cluster.learner_ranks import Address, LearnerRanks
from deploy.cluster.learner_role import LearnerRole
from deploy.cluster.placement import Demand, learner_demands
from deploy.run.progress import stage
from deploy.run.session import Session, make_role, start_all
from deploy.run.supervisor import NoProgress, overdue
from deploy.stages.demonstration_data import left_out_counts
from deploy.store.metric_files import MetricFile, path_of, read_reports
from deploy.view.sft_figure import draw
from learner.manifest import MANIFEST, find_newest_valid
from learner.sft_batches import Curriculum, Example

POLL_S = 0.3


def sft_demands(config: RunConfig) -> list[Demand]:
    """What the fine-tuning stage of a run needs of the cluster; empty without SFT."""
    return learner_demands(sft_settings(config)) if config.sft.enabled else []


def sft_settings(config: RunConfig) -> RunConfig:
    """The settings of the stage's ranks: `learner` with the values of `sft`."""
    sft = config.sft
    learner = replace(
        config.learner,
        num_ranks=sft.num_ranks,
        batch_samples=sft.batch_samples,
        learning_rate=sft.learning_rate,
    )
    return replace(config, learner=learner)


class FineTuning:
    """The fine-tuning of one run, done once; it resumes at its newest checkpoint."""

    def __init__(self, session: Session, interrupts: Interrupts, model_path: Path) -> None:
        self._session = replace(session, config=sft_settings(session.config))
        self._config, self._folder = self._session.config, session.folder
        self._interrupts = interrupts
        self._model_path = model_path
        keys = Keys(self._config.run.name)
        self._control = Control(session.client, keys)
        self._metrics = Metrics(session.client, keys)
        self._heartbeats = Heartbeats(session.client, keys)

    @property
    def model(self) -> Path:
        """The result, a Hugging Face folder. It exists only when it is complete."""
        return self._folder.sft / "model"

    @property
    def finished(self) -> bool:
        return self.model.exists()

    def run(self, examples: Sequence[Example]) -> None:
        """Train, publish the model. Raises RoleFailed, NoProgress, or Interrupted once a checkpoint is saved."""
        start = time.monotonic()
        sft = self._config.sft
        curriculum = Curriculum(len(examples), sft.batch_samples, sft.epochs, self._config.run.seed)
        needed = learner_demands(self._config)
        ranks = LearnerRanks([make_role(self._session, LearnerRole, demand, self._model_path) for demand in needed])
        self._control.clear()
        try:
            title = f"fine-tune, {len(needed)} learner rank(s)"
            with stage(self._session.console, title, total=curriculum.num_steps) as advance:
                self._start(ranks, examples)
                self._follow(ranks, advance)
        finally:
            for rank in ranks.roles:
                rank.kill()
        self._interrupts.raise_if_requested()
        self._summarise(curriculum, examples, time.monotonic() - start)
        self._publish(curriculum.num_steps)

    @property
    def _checkpoints(self) -> Path:
        return self._folder.sft / "checkpoints"

    def _start(self, ranks: LearnerRanks, examples: Sequence[Example]) -> None:
        timeout_s = self._config.deploy.start_timeout_s
        start_all(self._session.handshake, ranks.roles, timeout_s)
        ranks.check_model(self._model_path, timeout_s)
        ranks.choose_address(timeout_s)
        self._session.started.set()

        def fine_tune(handle: Any, rank: int, address: Address, incarnation: str) -> Any:
            return handle.fine_tune.remote(rank, address, self._checkpoints, self._model_path, examples)

        ranks.work_on(fine_tune)

    def _follow(self, ranks: LearnerRanks, advance: Callable[[int], None]) -> None:
        """Wait until every rank has finished; upon the first signal they save and end."""
        file, moved_at = MetricFile(path_of(self._folder.metrics, SFT), self._metrics), time.monotonic()
        step = max((report.step for report in read_reports(self._folder.metrics, SftStep)), default=0)
        advance(step)
        with self._interrupts.graceful(self._control):
            while any(rank.state == "running" for rank in ranks.roles):
                time.sleep(POLL_S)
                silence = self._heartbeats.silence()
                for rank in ranks.roles:
                    died = rank.poll() or overdue(rank, silence, self._config.deploy)
                    if rank.final_failure is not None:
                        raise rank.final_failure
                    if died:
                        raise RoleFailed(f"{died}; to continue, run it again (pope train: with run.resume=true)")
                if reports := file.follow():
                    newest = from_fields(SftStep, reports[-1]).step
                    advance(newest - step)
                    step, moved_at = newest, time.monotonic()
                self._require_progress(step, time.monotonic() - moved_at)
        file.follow()

    def _require_progress(self, step: int, quiet_s: float) -> None:
        limit_s = self._config.deploy.no_progress_s
        if quiet_s > limit_s:
            raise NoProgress(f"no step after {step} of the fine-tuning for deploy.no_progress_s={limit_s:g} s")

    def _summarise(self, curriculum: Curriculum, examples: Sequence[Example], seconds: float) -> None:
        """Write sft/summary.json and sft/loss.png."""
        reported = read_reports(self._folder.metrics, SftStep, self._metrics)
        # A step may be reported twice if Redis restarted without its last second of data.
        reports = list({report.step: report for report in reported}.values())
        sft = self._config.sft
        summary: dict[str, Any] = {
            "data": sft.data,
            "model": str(self._model_path),
            "demonstrations": len(examples),
            "left_out": left_out_counts(self._folder),
            "epochs": sft.epochs,
            "steps": curriculum.num_steps,
            "trained_tokens": sum(report.tokens for report in reports),
            "loss_by_epoch": _by_epoch(reports, lambda report: report.loss),
            "entropy_by_epoch": _by_epoch(reports, lambda report: report.entropy),
            "seconds": round(seconds, 1),
        }
        self._folder.save_json(self._folder.sft / "summary.json", summary)
        draw(self._folder.sft / "loss.png", reports, curriculum, self._session.config)
        loss, entropy = (
            ", ".join(f"{value:.3f}" for value in summary[f"{name}_by_epoch"]) for name in ("loss", "entropy")
        )
        self._session.console.print(
            f"    {curriculum.num_steps} steps on {len(examples)} demonstrations; nats per token by epoch: "
            f"loss {loss}; entropy {entropy}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip

    def _publish(self, num_steps: int) -> None:
        """Turn the checkpoint of the last step into the model: verify it, drop the optimizer's state, rename it."""
        newest = find_newest_valid(self._checkpoints)
        if newest is None or newest.step != num_steps:
            raise PopeError(
                f"the fine-tuning ended without an intact checkpoint of its last step {num_steps} in "
                f"{self._checkpoints}; free some disk space and repeat the command"
            )
        scratch = self.model.with_suffix(".tmp")
        shutil.rmtree(scratch, ignore_errors=True)
        os.rename(newest.folder, scratch)
        (scratch / MANIFEST).unlink()
        for part in scratch.iterdir():
            if part.is_dir():
                shutil.rmtree(part)
        os.rename(scratch, self.model)
        shutil.rmtree(self._checkpoints)


def _by_epoch(reports: Sequence[SftStep], value: Callable[[SftStep], float]) -> list[float]:
    """Mean over the trained tokens of each epoch, in the order of the epochs."""
    sums: dict[int, list[float]] = {}
    for report in reports:
        epoch = sums.setdefault(report.epoch, [0.0, 0.0])
        epoch[0] += report.tokens * value(report)
        epoch[1] += report.tokens
    return [round(total / tokens, 5) for total, tokens in sums.values()]
