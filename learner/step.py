"""One optimizer step on the groups of a batch (arrow 9)."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from broker.failpoints import failpoint
from broker.records import TrainGroup
from broker.reports import LearnerStep
from conf.schema import LearnerSettings
from learner.batch_feed import Row, build_step, token_lags
from learner.deepspeed_engine import DeepSpeedEngine
from learner.engine_agreement import Agreement, FreshTokens, require_agreement
from learner.gradient_cosine import Cosines, gradient_cosines
from learner.interference import advantage_shares, reward_means, token_shares
from learner.losses.aggregation import StepSize
from learner.losses.objective import RowLoss, row_loss
from learner.token_statistics import TokenStatistics, TokenSums, lag_histogram


@dataclass(frozen=True)
class StepReport:
    """Statistics of one optimizer step."""

    step: int
    tokens: TokenStatistics
    agreement: Agreement | None
    """Of learner and engine; None when no rollout is of lag 0 as a whole."""
    grad_norm: float
    """Before clipping; inf if and only if the step was skipped."""
    applied: bool
    """False: the gradient was not finite, and the weights are unchanged."""
    learning_rate: float
    """0 in a step without a gradient."""
    lags: dict[int, int]
    """Lag in optimizer steps -> trained tokens."""
    num_samples: int
    num_untrained: int
    """Rollouts without a reward."""
    completion_tokens_mean: float
    reward_mean: dict[str, float]
    """By part, `bucket/arm`; an arm draws from one bucket."""
    advantage_share: dict[str, float]
    """Part -> share of the absolute advantage; see `learner.interference`."""
    token_share: dict[str, float]
    """Part -> share of the trained tokens."""
    gradients: Cosines
    """Empty unless the step is one of every `gradient_cosine_every`."""
    packing_fill: float
    seconds: float

    def published(self) -> LearnerStep:
        """The report that is published for this step."""
        lags, counts = list(self.lags), list(self.lags.values())
        return LearnerStep(
            step=self.step,
            loss=self.tokens.loss,
            grad_norm=self.grad_norm,
            applied=self.applied,
            seconds=round(self.seconds, 4),
            tokens=self.tokens.num_tokens,
            samples=self.num_samples,
            untrained_samples=self.num_untrained,
            tokens_per_s=round(self.tokens.num_tokens / max(self.seconds, 1e-9), 1),
            learning_rate=self.learning_rate,
            ess=self.tokens.ess,
            clip_share=self.tokens.clip_share,
            ratio_mean=self.tokens.ratio_mean,
            ratio_max=self.tokens.ratio_max,
            logprob_rms=self.tokens.logprob_rms,
            logprob_rms_lag0=self.agreement.rms if self.agreement else None,
            entropy=self.tokens.entropy_mean,
            lag_mean=float(np.average(lags, weights=counts)) if lags else 0.0,
            lag_max=max(lags, default=0),
            lag_histogram=self.lags,
            completion_tokens_mean=self.completion_tokens_mean,
            packing_fill=round(self.packing_fill, 4),
            kl=self.tokens.kl_mean,
            reward_mean={part.partition("/")[2]: mean for part, mean in self.reward_mean.items()},
            advantage_share=self.advantage_share,
            token_share=self.token_share,
            gradient_norm=self.gradients.norms,
            gradient_cosine=self.gradients.cosines,
        )


class StepObserver(Protocol):
    """Observes the rows of a rank during training."""

    def start_step(self) -> None: ...

    def on_row(self, row: Row, logprobs: Tensor) -> None:
        """logprobs [N]: of the row's trained tokens, under the policy before the step."""


def run_step(
    engine: DeepSpeedEngine,
    groups: Sequence[TrainGroup],
    settings: LearnerSettings,
    *,
    step: int,
    max_completion_tokens: int,
    engine_bound: float = math.inf,
    observer: StepObserver | None = None,
) -> StepReport:
    """Updates policy version `step` - 1 to `step`. Called on all ranks with the same groups.

    `max_completion_tokens`: `actors.max_completion_tokens`. `engine_bound`: see `learner.engine_bound`; infinite in
    a replay, whose weights may be others. `observer`: called with each row of this rank.

    Raises EngineDisagrees, on all ranks and before any weight changes, beyond `engine_bound`.
    """
    if observer is not None:
        observer.start_step()
    start = time.perf_counter()
    ranks = engine.ranks
    batch = build_step(
        groups,
        row_tokens=settings.row_tokens,
        rank=ranks.rank,
        world_size=ranks.world_size,
        packing=settings.packing,
    )
    size = StepSize(batch.num_tokens, batch.num_sequences, max_completion_tokens)
    trains = has_gradient(groups, settings)
    learning_rate = scheduled_rate(settings, step) if trains else 0.0
    sums, fresh = TokenSums(settings), FreshTokens(groups, step)

    def loss_of(row: Row, logprobs: Tensor, entropies: Tensor) -> RowLoss:
        return row_loss(row, logprobs, entropies, settings, size)

    gradients = Cosines({}, {})
    if settings.gradient_cosine_every and step % settings.gradient_cosine_every == 0:
        gradients = gradient_cosines(engine, groups, loss_of, settings)
    for number, cpu_row in enumerate(batch.rows, start=1):
        row = cpu_row.to(engine.device)
        with engine.accumulate(last=number == len(batch.rows), gradient=trains):
            logprobs, entropies = engine.forward(row)
            loss = loss_of(row, logprobs, entropies)
            if trains:
                engine.backward(loss.total)
        sums.add(row, logprobs, entropies, loss)
        fresh.add(row, logprobs)
        if observer is not None:
            observer.on_row(row, logprobs)
    agreement = fresh.reduce(ranks)
    require_agreement(agreement, engine_bound, step=step, packing=settings.packing)
    failpoint("learner.before_optimizer")
    applied, grad_norm = engine.step(learning_rate) if trains else (True, 0.0)
    failpoint("learner.after_optimizer")
    rollouts = [rollout for group in groups for rollout in group.rollout_group.policy_rollouts]
    return StepReport(
        step=step,
        tokens=sums.reduce(ranks),
        agreement=agreement,
        grad_norm=grad_norm,
        applied=applied,
        learning_rate=learning_rate,
        lags=lag_histogram(token_lags(groups, step)),
        num_samples=len(rollouts),
        num_untrained=sum(rollout.reward is None for rollout in rollouts),
        completion_tokens_mean=float(np.mean([rollout.num_tokens for rollout in rollouts])),
        reward_mean=reward_means(groups),
        advantage_share=advantage_shares(groups),
        token_share=token_shares(groups),
        gradients=gradients,
        packing_fill=batch.packing_fill,
        seconds=time.perf_counter() - start,
    )


def has_gradient(groups: Sequence[TrainGroup], settings: LearnerSettings) -> bool:
    """Whether the loss of the step may have a gradient: an advantage is not 0, or there is a KL or entropy term.

    Without a gradient there is no optimizer step, as if the groups had been filtered. Adam would otherwise move the
    weights by the momentum of earlier steps and decay its moments: with a success in one step of twenty, the effect of
    each success would be halved.
    """
    if settings.kl_coef > 0 or settings.entropy_coef > 0:
        return True
    return any(np.frombuffer(group.advantages, dtype=np.float32).any() for group in groups)


def scheduled_rate(settings: LearnerSettings, step: int) -> float:
    """Learning rate: linear warm-up, then constant. A function of the step, so a resume needs no scheduler state."""
    return settings.learning_rate * min(1.0, step / max(1, settings.warmup_steps))
