"""An optimizer step of a run: how long engines and learner take for it, which side waits, and the lag. Pure."""

from dataclasses import dataclass
from typing import Literal

from conf.schema import RunConfig
from deploy.plan.model_sizes import ModelSizes
from deploy.plan.speed import EngineSpeed, LearnerSpeed, engine_speed, learner_speed, mean_completion_tokens

Waiting = Literal["the learner", "the engines", "each in turn"]


@dataclass(frozen=True)
class TrainingPlan:
    """A step in the steady state, and all steps."""

    engine: EngineSpeed
    learner: LearnerSpeed
    steps: int
    generated_tokens: float
    """Of a step, those of groups that are dropped included."""
    trained_tokens: float
    """Of a step."""
    generate_s: float
    """Time of all engines for a step, seconds."""
    learn_s: float
    """Time of all ranks for a step, seconds."""
    step_s: float
    waits: Waiting
    """The side that waits for the other one."""
    lag_mean: float
    """Expected lag of a trained token, in optimizer steps."""
    lag_oldest: float
    """Expected lag of the first token of a group whose longest rollout has the largest length."""
    first_batch_s: float
    """From the first claim to the first step, seconds."""

    @property
    def learner_busy(self) -> float:
        """Share of the time in which the learner trains."""
        return self.learn_s / self.step_s

    @property
    def engines_busy(self) -> float:
        return self.generate_s / self.step_s


def training_plan(config: RunConfig, sizes: ModelSizes) -> TrainingPlan:
    """Raises UsageError when the longest sequence does not fit into the KV cache."""
    learner_settings, sampling = config.learner, config.actors.sampling
    batch, max_lag = learner_settings.batch_samples, learner_settings.max_lag
    # The feed issues what steps up to the bound can train.
    allowed = float("inf") if max_lag is None else (max_lag + 1) * batch / config.actors.num_actors
    engine = engine_speed(config, sizes, sampling, most_sequences=allowed)
    learner = learner_speed(config, sizes)
    mean, longest = mean_completion_tokens(config, sampling), sampling.max_completion_tokens
    trained_share = config.plan.trained_share if config.preprocess.drop_zero_advantage else 1.0
    generated = batch * mean / trained_share
    generate_s = generated / (config.actors.num_actors * engine.tokens_per_s)
    learn_s = batch / learner.rollouts_per_s
    in_turn = max_lag == 0 or learner_settings.forced_lag is not None or config.deploy.share_gpu
    step_s = generate_s + learn_s if in_turn else max(generate_s, learn_s)
    waits: Waiting = "the learner" if generate_s >= learn_s else "the engines"
    # A faster engine fills the ring; a faster learner finds half a batch in it on average.
    queue = config.broker.ring.capacity / batch if waits == "the engines" and not in_turn else 0.5
    bound = float("inf") if max_lag is None else max_lag
    oldest = longest * engine.step_s / step_s + queue
    # A rollout of mean length is written in the first steps of its group, and waits for the longest one.
    average = (longest - mean / 2) * engine.step_s / step_s + queue
    return TrainingPlan(
        engine=engine,
        learner=learner,
        steps=_steps(config, trained_share),
        generated_tokens=generated,
        trained_tokens=batch * mean,
        generate_s=generate_s,
        learn_s=learn_s,
        step_s=step_s,
        waits="each in turn" if in_turn else waits,
        lag_mean=min(average, bound),
        lag_oldest=min(oldest, bound),
        first_batch_s=max(generate_s, longest * engine.step_s) + learn_s,
    )


def _steps(config: RunConfig, trained_share: float) -> int:
    """Steps until run.max_steps or run.max_groups ends the run."""
    groups = config.run.max_groups
    by_groups = float("inf") if groups is None else groups * trained_share // config.batch_groups
    return max(1, int(min(config.run.max_steps, by_groups)))
