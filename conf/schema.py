"""Every setting of the product: its type, its default, its unit and its range.

`conf/load.py` turns YAML and `key=value` overrides into one frozen `RunConfig`; after that nothing in the
product reads a dictionary of settings. A range in brackets is checked by `conf/checks.py`; `conf/rules/` holds
the rules across settings. Numbers that follow from others are properties here, with the reason in a line.

This file imports nothing heavy: reading settings needs neither torch nor ray.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Range:
    """The closed interval a number must lie in; `None` leaves a side open."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        low = "-inf" if self.low is None else f"{self.low:g}"
        high = "inf" if self.high is None else f"{self.high:g}"
        return f"[{low}, {high}]"


def ranged(default: Any, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with a default and the closed range `conf/checks.py` holds it to."""
    return field(default=default, metadata={"range": Range(low, high)})


@dataclass(frozen=True)
class RunSettings:
    """One training run: its name, its folder, its budget."""

    name: str = "pope"
    """Names the folder and the Redis keys: 1 to 64 of a-z, 0-9, '.', '_', '-'."""
    root: str = "runs"
    """Folder that holds the run folders."""
    seed: int = ranged(0, 0, 2**32 - 1)
    """Fixes problem order, prefixes and sampling of the base model's corpus."""
    max_steps: int = ranged(200, 1)
    """Optimizer steps after which training ends."""
    max_groups: int | None = ranged(3000, 1)
    """Rollout groups issued at most, all arms together; training ends when they are used up. null: no bound."""
    resume: bool = False
    """Continue the run in its folder from its newest valid checkpoint."""


@dataclass(frozen=True)
class ModelSettings:
    """The policy that is trained."""

    path: str = "builtin:tiny"
    """A local Hugging Face folder, a hub id, or a small base model that this product makes and caches: `builtin:tiny`,
    or `builtin:tiny-reader`, which also follows guidance of problems.oracle_style=terse, a hand it does not write."""
    cache_dir: str = "~/.cache/pope-rl"
    """Where the built-in models are kept once made."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the weights in the engine and in the learner's forward pass. The LM head is always float32."""


@dataclass(frozen=True)
class ProblemSettings:
    """Which problems, and in which proportion each arm draws them."""

    source: str = "builtin:tiny"
    """`builtin:tiny` (the procedural domain); a file that ends in .jsonl, .json or .parquet; or a data set of the
    Hugging Face hub by its short name (aime-2025, gsm8k, ...). `gsm8k:FILE` reads that data set from a file."""
    fields: dict[str, str] = field(default_factory=dict)
    """Our field (statement, answer, solution, id, level, bucket, guidance, source) -> its column in the file, where
    that has another name. `a.b` is b inside a, `a.0` the first of the list a."""
    split: str | None = None
    """Split of a hub data set, such as test. null: the one its adapter names."""
    levels: list[float] | None = None
    """[lowest, highest] difficulty that is used, in the data set's own scale; rows outside are rejected. null: all."""
    limit: dict[str, int] = field(default_factory=dict)
    """Bucket -> at most so many of its problems are trained on, drawn by `run.seed`; a larger limit adds to those of a
    smaller one. Of files and data sets: the built-in domain has the numbers below."""
    num_hard: int = ranged(128, 1)
    """Hard problems of the built-in domain."""
    num_easy: int = ranged(64, 0)
    """Easy problems of the built-in domain; drawn only when an arm `easy` has a weight."""
    num_easier: int = ranged(20, 0)
    """Easier problems of the built-in domain; drawn only when an arm `easier` has a weight."""
    chain_steps: int = ranged(6, 1, 8)
    """Steps of a hard problem of the built-in domain. With 5 the base model solves one in 400 by luck, and training
    without guidance takes off after a few hundred groups; with 6 it solves one in 1,400."""
    easy_kind: Literal["unrelated", "related"] = "unrelated"
    """Easy problems of the built-in domain: a robot on a ring of tiles (2 to 4 moves), or short chains of the same
    operations (2 steps). Easier ones have 1 move or 1 step; the base model solves 12 or 8 % of the easy and 27 or 28 %
    of the easier ones, where the paper has 30 and 60 % (section 3.2)."""
    oracle_style: Literal["model", "terse"] = "model"
    """How the oracle of the built-in domain writes its chains: as the base model does, one line a step; or terse, as a
    person might, with steps merged and in other words. Guidance in that hand needs model.path=builtin:tiny-reader."""
    arms: dict[str, int] = field(default_factory=lambda: {"unguided": 1, "guided": 1})
    """Arm -> weight. `unguided` and `guided` draw the hard problems, `easy` the easy ones, `easier` (unguided) those
    of the bucket easier. 1:1 is exact in every window of two groups."""


@dataclass(frozen=True)
class GuidanceSettings:
    """The prefix of the oracle solution that a guided prompt carries (POPE section 4)."""

    instruction: Literal["default", "modified"] = "default"
    """The system instruction: of section 4, or the one of section 5.2 that forbids restating."""
    num_prefixes: int = ranged(8, 2, 64)
    """Candidate prefixes i/num_prefixes, i = 1..num_prefixes-1, cut at line ends."""
    samples: int = ranged(12, 1)
    """Samples of the base model for each prefix that is given up."""
    successes: int = ranged(1, 1, 16)
    """Successes that make a prefix useful, one in every `samples` rollouts; 1 is the paper's rule. With 32 samples a
    prefix found by one success is within one step of the shortest that solves 1/32 for 66 % of the built-in problems
    of 8 steps, one found by three for 90 %, with 40 % more rollouts."""
    at_once: int = ranged(2, 1, 64)
    """Prefixes of one problem sampled at the same time. More end the search sooner and cost more samples."""


@dataclass(frozen=True)
class MiningSettings:
    """Which problems are hard for the model (POPE sections 2, 3.2)."""

    samples: int = ranged(128, 1)
    """Samples of one problem at most; a problem is left earlier once its bucket is certain."""
    buckets: dict[str, list[float]] = field(
        default_factory=lambda: {"hard": [0.0, 0.0], "easy": [0.2, 0.4], "easier": [0.5, 0.7]}
    )
    """Bucket -> closed interval of the solve rate. What lies in none of them is not used."""
    min_evidence: float = ranged(0.5, 0.0, 1.0)
    """Share of the samples that must be evidence: finished within the token budget, and judged."""


@dataclass(frozen=True)
class OracleSettings:
    """`pope oracle`: solutions written by a strong model behind an OpenAI-compatible endpoint."""

    endpoint: str = "http://127.0.0.1:8000/v1"
    """http:// or https:// up to and without /chat/completions. No proxy is used, no redirect followed."""
    model: str | None = None
    """The model's name, as the endpoint knows it; `pope oracle` needs one."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the API key; null sends none. The key itself is no setting."""
    max_attempts: int = ranged(4, 1, 1000)
    """Solutions asked for each problem until one verifies."""
    retries: int = ranged(5, 0, 100)
    """Repetitions of one request that fails."""
    max_wait_s: float = ranged(60.0, 0.0, 3600.0)
    """Longest wait before a repetition, seconds; it bounds the back-off and what a Retry-After may ask for."""
    max_failures: int = ranged(40, 1)
    """Failures in a row, over all problems, after which the endpoint counts as dead and the run ends."""
    concurrency: int = ranged(8, 1, 1024)
    """Requests under way at once."""
    timeout_s: float = ranged(600.0, 0.05)
    """Seconds one request may take, from its first byte to the last of its answer."""
    temperature: float | None = ranged(0.7, 0.0, 2.0)
    """null leaves it to the endpoint; some models take no other."""
    max_tokens: int = ranged(16384, 1)
    """Longest answer; a longer one is cut and counted as truncated."""
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """What the endpoint calls that limit; newer models of some providers take only the second."""
    prompt_price: float = ranged(0.0, 0.0)
    """Price of 10^6 prompt tokens, in any currency; the summary multiplies."""
    completion_price: float = ranged(0.0, 0.0)
    """Price of 10^6 completion tokens, in the same currency."""


@dataclass(frozen=True)
class ActorSettings:
    """Generation: how many engines, how much at once."""

    num_actors: int = ranged(1, 1)
    """Ray actors with one vLLM engine each."""
    group_size: int = ranged(8, 2)
    """Rollouts of one prompt; they share a baseline."""
    temperature: float = ranged(1.0, 0.01, 2.0)
    """Sampling temperature. top-p and top-k stay off: importance ratios need the distribution sampled from."""
    max_prompt_tokens: int = ranged(512, 1)
    max_completion_tokens: int = ranged(256, 1)
    max_num_seqs: int = ranged(256, 1)
    """Sequences one engine decodes at once."""
    tensor_parallel: int = ranged(1, 1)
    """GPUs of one engine."""
    threads: int = ranged(1, 1)
    """CPU threads of one engine on a CPU machine."""
    kv_cache_gib: int = ranged(1, 1)
    """Memory of the KV cache on a CPU machine, GiB."""
    gpu_memory_utilization: float = ranged(0.9, 0.05, 1.0)
    """Share of a GPU's memory one engine may use."""
    lease_s: float = ranged(120.0, 1.0)
    """A claimed problem whose actor has not renewed its lease for this long is issued again, seconds."""
    max_attempts: int = ranged(3, 1)
    """Leases of one group before it is counted as failed."""
    prefix_cache: bool = True
    """Reuse the KV cache of equal prompts; salted by policy version, so that it never survives an update."""
    oracle_member: bool = False
    """LUFFY: the oracle's solution takes the place of one rollout in every group of the arm `unguided`, with reward 1.
    The paper could not make it train stably on hard problems with human solutions (section 6)."""

    @property
    def max_model_tokens(self) -> int:
        """Longest sequence the engine may hold: a whole prompt and a whole completion."""
        return self.max_prompt_tokens + self.max_completion_tokens

    @property
    def max_in_flight_groups(self) -> int:
        """Groups one actor keeps in flight: one more than fill the engine, so that a finished group leaves no gap."""
        return self.max_num_seqs // self.group_size + 1


@dataclass(frozen=True)
class VerifierSettings:
    """math-verify in child processes that can be killed."""

    workers: int = ranged(1, 1)
    """Child processes of one actor."""
    deadline_s: float = ranged(2.0, 0.05)
    """Seconds one answer may take before its process is killed and the verdict is `timeout`."""
    memory_gib: float = ranged(2.0, 0.25)
    """Address space of one child, GiB."""


@dataclass(frozen=True)
class RingSettings:
    """The ring buffer between preprocessing and the learner (POPE appendix E.2)."""

    capacity: int = ranged(128, 1)
    """Slots; one sample a slot."""
    when_full: Literal["replace", "wait"] = "replace"
    """`replace`: whole oldest groups make room and are counted. `wait`: the preprocessor waits for the learner."""


@dataclass(frozen=True)
class BrokerSettings:
    """Redis: embedded by default, any server by URL."""

    url: str | None = None
    """redis://, rediss:// or unix:// of a Redis/Valkey >= 7.0; null starts the embedded server. A password belongs in
    $POPE_BROKER_URL, which then holds the whole URL and wins; on a command line it is refused."""
    role_users: bool = False
    """Each role logs in to the server at `url` as a user of its own, made by what `pope redis-acl` prints, with a
    password derived from the URL's. The embedded server always has these users."""
    fsync: Literal["always", "everysec"] = "always"
    """Durability of the embedded server. `everysec` may lose up to a second of acknowledged writes on a crash."""
    max_memory_gib: float = ranged(2.0, 0.05)
    """Memory of the embedded server, GiB; nothing is ever evicted."""
    connect_timeout_s: float = ranged(5.0, 0.1)
    """Seconds to wait for the server at start."""
    rollouts_high_water: int = ranged(64, 1)
    """Groups in the rollout stream above which actors claim nothing new."""
    kept_reports: int = ranged(20_000, 100)
    """Newest reports of each room that Redis holds: how far back the curves of a dashboard reach that is opened late.
    The run folder keeps all."""
    ring: RingSettings = field(default_factory=RingSettings)


@dataclass(frozen=True)
class PreprocessSettings:
    """Group advantages and filters."""

    num_workers: int = ranged(1, 1)
    advantage: Literal["mean", "std", "leave_one_out", "maxrl", "pass_at_k"] = "mean"
    """How much better a rollout was than its group. `mean`: r - mean(r) (POPE section 2). `std`: that over the
    standard deviation (GRPO). `leave_one_out`: r - mean of the others (RLOO). `maxrl`: (r - mean) / mean (MaxRL).
    `pass_at_k`: the weights of POPE eq. 7. Formulas: docs/objectives.md."""
    pass_k: int = ranged(4, 1)
    """k of `pass_at_k`; 1 to actors.group_size."""
    pass_k_baseline: Literal["none", "mean"] = "none"
    """`none`: the weights of eq. 7 as they are, the unbiased gradient of pass@k (eq. 6). `mean`: they are rewards of
    which the group's mean is taken off; then k = group_size leaves nothing."""
    overlong_tokens: int = ranged(0, 0)
    """Length penalty (DAPO eq. 13): in this many last tokens before actors.max_completion_tokens the reward falls
    from 0 to -1 below the verifier's; 0 switches it off. What is counted as success stays the verifier's."""
    drop_zero_advantage: bool = True
    """Drop groups whose advantages are all exactly zero: they have no policy gradient. A KL penalty or an entropy
    bonus then acts on the kept groups only."""
    claim_idle_s: float = ranged(30.0, 0.5)
    """A group a dead worker held is taken over after this long, seconds."""


@dataclass(frozen=True)
class LearnerSettings:
    """Optimisation."""

    num_ranks: int = ranged(1, 1)
    """DeepSpeed processes."""
    zero_stage: Literal[0, 2, 3] = 0
    batch_samples: int = ranged(64, 2)
    """Rollouts in one optimizer step, over all ranks; whole groups."""
    learning_rate: float = ranged(5e-4, 0.0)
    warmup_steps: int = ranged(20, 0)
    """Linear warm-up of the learning rate, optimizer steps."""
    adam_beta1: float = ranged(0.9, 0.0, 0.9999)
    adam_beta2: float = ranged(0.99, 0.0, 0.99999)
    weight_decay: float = ranged(0.0, 0.0)
    gradient_clip: float = ranged(0.3, 0.0)
    """Global gradient norm is clipped to this; 0 switches clipping off. Measured on the built-in domain: norms of 0.1
    to 0.3 with spikes to 1.1, and with 1.0 the policy sometimes fell back for dozens of steps."""
    policy_loss: Literal["ppo_clip", "truncated_is", "cispo", "gspo"] = "truncated_is"
    """`ppo_clip`: the min-form of eq. 2. `truncated_is`: sg[min(ratio, ratio_max)] * A * log pi (PipelineRL).
    Below ratio_max the gradients are equal. Above it eq. 2 gives 0 for A > 0 and an unbounded term for A < 0;
    the truncated form gives ratio_max * A * grad log pi for both. `cispo`: truncated on both sides, around 1
    (MiniMax-M1). `gspo`: eq. 2 with the ratio of whole sequences (GSPO). Formulas: docs/objectives.md."""
    loss_aggregation: Literal["token_mean", "sequence_mean", "constant"] = "token_mean"
    """`token_mean`: sum over the step's trained tokens / their number (DAPO). `sequence_mean`: mean over the tokens
    of a sequence, then over sequences (GRPO). `constant`: sum / (sequences * max_completion_tokens) (Dr. GRPO)."""
    kl_coef: float = ranged(0.0, 0.0)
    """Weight of the KL penalty against the frozen starting model (k3). Above 0 every preprocessor loads that model,
    on a GPU of its own when deploy.device=cuda."""
    entropy_coef: float = ranged(0.0, 0.0)
    """Weight of the bonus on the exact token entropy, nats."""
    luffy_gamma: float = ranged(0.1, 1e-6)
    """gamma of LUFFY's policy shaping pi / (pi + gamma), for actors.oracle_member."""
    ratio_min: float = ranged(0.0, 0.0, 1.0)
    """Lower bound of the importance ratio; an absolute number, not 1 - epsilon."""
    ratio_max: float = ranged(5.0, 1.0)
    """Upper bound of the importance ratio; an absolute number, not 1 + epsilon."""
    max_lag: int | None = ranged(None, 0)
    """Oldest token a step may train, in optimizer steps. 0 is synchronous GRPO, null sets no bound."""
    row_tokens: int = ranged(4096, 1)
    """Tokens of one packed row, the unit of a forward pass."""
    logprob_chunk_tokens: int = ranged(1024, 1)
    """Response positions projected onto the vocabulary at once; bounds the memory of the logits."""
    gradient_checkpointing: bool = False
    gradient_cosine_every: int = ranged(0, 0)
    """Optimizer steps between two looks at the cosine between the gradients of buckets and arms; 0: none. One look
    takes about as long as a step."""
    threads: int = ranged(1, 1)
    """CPU threads of one rank on a CPU machine."""
    checkpoint_every: int = ranged(25, 0)
    """Optimizer steps between checkpoints; 0 saves only the last."""
    keep_checkpoints: int = ranged(2, 1)


@dataclass(frozen=True)
class SftSettings:
    """Supervised fine-tuning of the starting policy (POPE section 6, appendix C, table 3). What is not here is as in
    `learner`: ZeRO stage, Adam's betas, clipping, rows, checkpoints. The learning rate decays linearly to zero."""

    data: str = "none"
    """`full_oracle`: unguided prompt -> the whole oracle solution. `prefix`: unguided prompt -> the prefix POPE guides
    with, and a correct completion of the base model. A .jsonl file of {"prompt": ..., "response": ...}. `none`: RL
    starts from model.path."""
    epochs: int = ranged(3, 1)
    batch_samples: int = ranged(16, 1)
    """Demonstrations in one optimizer step, over all ranks; the last step of an epoch may have fewer."""
    learning_rate: float = ranged(1e-3, 0.0)
    warmup_share: float = ranged(0.1, 0.0, 1.0)
    """Share of the optimizer steps in which the learning rate rises."""
    max_tokens: int = ranged(768, 2)
    """Longest demonstration, prompt included; longer ones are left out, because a cut one would have no answer."""
    num_ranks: int = ranged(1, 1)
    """DeepSpeed processes. Engines and RL's ranks are not up meanwhile, so it may be as many as both together."""
    completions: int = ranged(1, 1)
    """`prefix`: different correct completions kept of each problem."""
    max_samples: int = ranged(64, 1)
    """`prefix`: completions sampled of each problem at most, until enough are correct."""

    @property
    def wanted(self) -> bool:
        """Whether there is SFT at all."""
        return self.data != "none"


@dataclass(frozen=True)
class WeightSettings:
    """In-flight weight updates."""

    backend: Literal["file", "nccl"] = "file"
    """`file`: safetensors on tmpfs, one machine. `nccl`: vLLM's packed broadcast, GPUs."""
    folder: str | None = None
    """Folder of the file backend; null makes a private one in /dev/shm."""
    every_steps: int = ranged(1, 1)
    """Optimizer steps between two publications."""
    canary_every: int = ranged(1, 0)
    """Syncs between two comparisons of the engine's checksums with the learner's; 0 switches them off."""
    timeout_s: float = ranged(120.0, 1.0)
    """Seconds one sync may take before it is an error."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Measurement of the hard problems: before, after and during training."""

    samples: int = ranged(8, 1)
    """Rollouts of each problem and arm; pass@k is estimated without bias from them."""
    k: list[int] = field(default_factory=lambda: [1, 8])
    num_held_out: int = ranged(0, 0)
    """Unseen hard problems of the built-in domain measured after training."""
    every_steps: int = ranged(0, 0)
    """Optimizer steps between two evaluations of the hard problems while training goes on; 0: none."""
    every_samples: int = ranged(4, 1)
    """Rollouts of each hard problem in one of those, all by the same weights."""


@dataclass(frozen=True)
class DeploySettings:
    """Placement and supervision."""

    device: Literal["cpu", "cuda"] = "cpu"
    heartbeat_s: float = ranged(2.0, 0.1)
    """Seconds between two signs of incarnation of a role."""
    dead_after_s: float = ranged(60.0, 1.0)
    """A role silent for this long is killed and restarted, seconds."""
    start_timeout_s: float = ranged(600.0, 1.0)
    """Seconds a role may take until its first sign of life."""
    no_progress_s: float = ranged(600.0, 1.0)
    """Seconds without an optimizer step or an ended group after which the run stops with an error."""
    max_restarts: int = ranged(5, 0)
    """Restarts of one role before the run stops; the ranks of the learner are one, they are restarted together."""
    starved_share: float = ranged(0.2, 0.0, 1.0)
    """The hard bucket is starved when its share of the absolute advantage is below this times its share of the groups;
    the run goes on and says so. 0 never says it."""
    starved_steps: int = ranged(20, 1)
    """Window of both shares, optimizer steps."""
    silent_groups: int = ranged(1024, 0)
    """An arm on hard problems is silent when fewer than 1 % of so many of its groups carried a gradient; the run goes
    on and says so. 0 never says it."""
    dashboard: bool = False
    """Serve the live page of `pope dashboard` for as long as the run lasts."""
    dashboard_host: str = "127.0.0.1"
    """Address it listens on; viewers need a token anywhere but on this machine."""
    dashboard_port: int = ranged(8600, 0, 65535)
    """0 takes a free one."""


@dataclass(frozen=True)
class RunConfig:
    """Everything a run needs to know."""

    run: RunSettings = field(default_factory=RunSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    problems: ProblemSettings = field(default_factory=ProblemSettings)
    guidance: GuidanceSettings = field(default_factory=GuidanceSettings)
    mining: MiningSettings = field(default_factory=MiningSettings)

    oracle: OracleSettings = field(default_factory=OracleSettings)
    actors: ActorSettings = field(default_factory=ActorSettings)
    verifier: VerifierSettings = field(default_factory=VerifierSettings)
    broker: BrokerSettings = field(default_factory=BrokerSettings)
    preprocess: PreprocessSettings = field(default_factory=PreprocessSettings)
    learner: LearnerSettings = field(default_factory=LearnerSettings)
    sft: SftSettings = field(default_factory=SftSettings)
    weights: WeightSettings = field(default_factory=WeightSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    deploy: DeploySettings = field(default_factory=DeploySettings)

    @property
    def uses_guidance(self) -> bool:
        """Whether hard problems need the prefix of an oracle solution: to be guided with it, or to imitate it."""
        return self.problems.arms.get("guided", 0) > 0 or self.sft.data == "prefix"

    @property
    def batch_groups(self) -> int:
        """Groups of one optimizer step; whole, because batch_samples is a multiple of group_size."""
        return self.learner.batch_samples // self.actors.group_size
