"""The settings of TRL's GRPOTrainer in the race. Read by both interpreters, so it imports nothing but msgspec."""

import msgspec


class TrlSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the search over TRL's settings may change; `trl_trainer.py` says why the rest is as it is.

    What both trainers share (model, problems, group size, temperature, token limits) is not here: it comes from the
    settings of pope.
    """

    learning_rate: float = 5e-4
    """Of AdamW; constant after the warm-up."""
    warmup_steps: int = 0
    groups_per_step: int = 8
    """Rollout groups of one optimizer step, those without an advantage included, as TRL counts them."""
    steps_per_generation: int = 1
    """Optimizer steps on one batch of generated groups. Above 1, the later steps are off-policy, TRL generates larger
    batches, and it adds a forward pass for the log-probabilities of the sampling policy."""
    gradient_clip: float = 1.0
    """Global norm; TRL's default. 0: off."""
    adam_beta2: float = 0.999
    """TRL's default."""
    scale_rewards: str = "group"
    """Advantages divided by the standard deviation of their group (TRL's default), of the `batch`, or `none`."""
    loss_type: str = "dapo"
    """TRL's default, a mean over the tokens of the batch, as `learner.loss_aggregation: token_mean`."""
    epsilon: float = 0.2
    epsilon_high: float | None = None
    """The clip of the ratio; without effect where `steps_per_generation` is 1."""
    threads: int = 0
    """CPU threads of torch; 0: as many as the race has cores."""


class TrlJob(msgspec.Struct, frozen=True, kw_only=True):
    """One run of TRL, as JSON from the race to the interpreter of TRL."""

    model: str
    """Hugging Face folder."""
    groups: str
    """File of `TrlGroup`, one a line, in the order in which they are sampled."""
    out: str
    """File to which the run appends `TrlLine`, one a line."""
    seed: int
    group_size: int
    temperature: float
    max_completion_tokens: int
    stop_token_ids: tuple[int, ...]
    verifier_workers: int
    verifier_deadline_s: float
    verifier_memory_gib: float
    settings: TrlSettings


class TrlGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One rollout group to sample."""

    arm: str
    prompt: str
    """The whole prompt in the chat template, guidance included."""
    prompt_ids: tuple[int, ...]
    """Its tokens as pope samples from them; checked against TRL's."""
    answer: str


class TrlLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first line of a run says when it began and with which version; every other one is a finished group."""

    at: float
    """Unix seconds."""
    version: str = ""
    arm: str = ""
    successes: int = 0
    rollouts: int = 0
