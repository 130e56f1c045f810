"""One optimizer step on the groups of a batch (arrow 9)."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from broker.failpoints import failpoint
from broker.records import TrainGroup
from broker.reports import OPTIMIZER, OTHER, WORK, LearnerStep
from broker.role_clock import RoleClock
from conf.schema import LearnerSettings
from learner.batch_feed import Row, build_step, token_lags
from learner.deepspeed_engine import DeepSpeedEngine
from learner.engine_agreement import Agreement, FreshTokens, require_agreement
from learner.gradient_cosine import Cosines, gradient_cosines
from learner.interference import advantage_shares, reward_means, token_shares
from learner.losses.aggregation import WholeStep
from learner.losses.objective import StepObjective
from learner.second_moment import square_max
from learner.token_statistics import TokenStatistics, TokenSums, lag_histogram
from learner.watchdog import Verdict, Watchdog
from learner.watchdog_signals import read_signals

NOT_FINITE = "gradient not finite"


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
    """False: the gradient was not finite, or the watchdog dropped it; the weights are unchanged."""
    verdict: Verdict
    """Of the watchdog; empty without one."""
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
    flops: float
    """Model FLOPs on this rank; 0 in a step without a gradient."""
    seconds: float

    @property
    def skipped(self) -> str | None:
        """Why no gradient was applied; None when the step was taken."""
        if self.applied:
            return None
        return f"watchdog: {self.verdict}" if self.verdict.skip else NOT_FINITE

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
            ess_corrected=self.tokens.ess_corrected,
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
            watchdog=str(self.verdict) or None,
            rolled_back_to=self.verdict.roll_back_to,
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
    watchdog: Watchdog | None = None,
    clock: RoleClock | None = None,
) -> StepReport:
    """Updates policy version `step` - 1 to `step`. Called on all ranks with the same groups.

    `max_completion_tokens`: `actors.max_completion_tokens`. `engine_bound`: see `learner.engine_bound`; infinite in
    a replay, whose weights may be others. `observer`: called with each row of this rank. `watchdog`: judges the step
    before its gradient is applied, and may drop it; restoring a checkpoint is left to the caller. `clock`: is told the
    phases of the step.

    Groups without a gradient are not computed, unless all are: they only count among the tokens and sequences by which
    the loss is divided.

    Raises EngineDisagrees, on all ranks and before any weight changes, beyond `engine_bound`.
    """
    if observer is not None:
        observer.start_step()
    clock = clock or RoleClock("learner")
    start = time.perf_counter()
    ranks = engine.ranks
    settings = replace(settings, kl_coef=settings.kl_coef_at(step))
    trains = has_gradient(groups, settings)
    batch = build_step(
        groups,
        row_tokens=settings.row_tokens,
        rank=ranks.rank,
        world_size=ranks.world_size,
        packing=settings.packing,
        needed=lambda group: not trains or has_gradient([group], settings),
    )
    lags = token_lags(groups, step)
    learning_rate = scheduled_rate(settings, step, lags) if trains else 0.0
    learning_rate *= watchdog.rate if watchdog else 1.0
    sums, fresh = TokenSums(settings), FreshTokens(groups, step)
    masks_by_moment = settings.ratio_mask == "second_moment"
    whole = WholeStep(
        num_tokens=batch.num_tokens,
        num_sequences=batch.num_sequences,
        max_completion_tokens=max_completion_tokens,
        version=step - 1,
        square_max=square_max(engine, batch.rows, settings.second_moment_max) if masks_by_moment else math.inf,
    )
    objective = StepObjective(settings, whole)

    def judge() -> tuple[TokenStatistics, Agreement | None, Verdict]:
        """Once all rows went forward. Collective."""
        tokens, agreement = sums.reduce(ranks), fresh.reduce(ranks)
        require_agreement(agreement, engine_bound, step=step, packing=settings.packing)
        signals = read_signals(step, groups, tokens, agreement)
        return tokens, agreement, watchdog.judge(signals) if watchdog else Verdict()

    clock.enter(WORK)
    gradients = Cosines({}, {})
    if settings.gradient_cosine_every and step % settings.gradient_cosine_every == 0:
        gradients = gradient_cosines(engine, groups, objective, settings)
    for number, cpu_row in enumerate(batch.rows, start=1):
        row = cpu_row.to(engine.device)
        last = number == len(batch.rows)  # on all ranks at once
        with engine.accumulate(last=last, gradient=trains):
            logprobs, entropies = engine.forward(row, objective)
            loss = objective.of_row(row, logprobs, entropies)
            sums.add(row, logprobs, entropies, loss)
            fresh.add(row, logprobs)
            if last:
                tokens, agreement, verdict = judge()
            if trains:
                engine.backward(loss.total, discard=last and verdict.skip)
        if observer is not None:
            observer.on_row(row, logprobs)
    failpoint("learner.before_optimizer")
    clock.enter(OPTIMIZER)
    applied, grad_norm = engine.step(learning_rate) if trains else (True, 0.0)
    clock.enter(OTHER)
    failpoint("learner.after_optimizer")
    rollouts = [rollout for group in groups for rollout in group.rollout_group.policy_rollouts]
    return StepReport(
        step=step,
        tokens=tokens,
        agreement=agreement,
        grad_norm=grad_norm,
        applied=applied,
        verdict=verdict,
        learning_rate=learning_rate,
        lags=lag_histogram(lags),
        num_samples=len(rollouts),
        num_untrained=sum(rollout.reward is None for rollout in rollouts),
        completion_tokens_mean=float(np.mean([rollout.num_tokens for rollout in rollouts])),
        reward_mean=reward_means(groups),
        advantage_share=advantage_shares(groups),
        token_share=token_shares(groups),
        gradients=gradients,
        packing_fill=batch.packing_fill,
        flops=sum(map(engine.cost.row_flops, batch.rows)) if trains else 0.0,
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


def scheduled_rate(settings: LearnerSettings, step: int, lags: NDArray[np.int32]) -> float:
    """Learning rate: linear warm-up over trained samples, then constant; lower the older the tokens of the step are.

    A function of the step and its batch, so a resume needs no scheduler state. Every step takes `batch_samples`
    rollouts; those of steps without a gradient count, too, because a checkpoint knows its step only. With the mean lag
    over the tokens,

        rate = learning_rate * min(1, step * batch_samples / warmup_samples) / (1 + lag_discount * mean lag)

    after staleness-aware asynchronous SGD (arXiv 1511.05950, section 2.4), which divides the rate of each gradient by
    its staleness tau >= 1. Here a step has one rate, and lag 0 has the whole one. A factor of the gradient
    would be undone in part by the normalization of AdamW.

    lags: int32 [tokens], of the trained tokens that were sampled by the policy.
    """
    warm = min(1.0, step * settings.batch_samples / max(1, settings.warmup_samples))
    mean_lag = float(lags.mean()) if len(lags) else 0.0
    return settings.learning_rate * warm / (1.0 + settings.lag_discount * mean_lag)
