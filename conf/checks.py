"""The rules settings must keep: the range of each number, and the rules across settings.

Every rule is a generator of violations: (the settings it is about, one sentence with values, rule and remedy).
`check` raises the first. The sentence names the setting to change first; `conf/load.py` adds where it was set.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any
from urllib.parse import urlsplit

from conf.errors import ConfigError
from conf.names import did_you_mean
from conf.schema import Range, RunConfig

Violation = tuple[tuple[str, ...], str]
Rule = Callable[[RunConfig], Iterator[Violation]]

ARMS = ("unguided", "guided", "easy", "easier")
BUCKETS = ("hard", "easy", "easier")
BUILTIN = "builtin:tiny"
FILE_ENDINGS = (".jsonl", ".json", ".parquet")
DATA_SETS = ("dapo-math-17k", "omni-math", "acereason-math", "aime-2025", "hmmt-2025", "gsm8k", "math-500")
FIELDS = ("statement", "answer", "solution", "id", "level", "bucket", "guidance", "source")


def check(config: RunConfig) -> None:
    """Raises `ConfigError` with the first rule that is broken."""
    for rule in RULES:
        for keys, sentence in rule(config):
            raise ConfigError(sentence, keys)


def numbers_are_in_range(config: RunConfig) -> Iterator[Violation]:
    yield from _ranges(config, "")


def _ranges(section: Any, prefix: str) -> Iterator[Violation]:
    for field in fields(section):
        name, value, bounds = prefix + field.name, getattr(section, field.name), field.metadata.get("range")
        if is_dataclass(value):
            yield from _ranges(value, f"{name}.")
        elif isinstance(value, int | float) and abs(value) > 2**53:
            yield (name,), f"{name} is not a number up to 2**53; nothing here is as large"
        elif bounds is not None and value is not None and not _inside(value, bounds):
            nearest = _clamp(value, bounds)
            yield (name,), f"{name}={value} is outside its range {bounds}; the nearest valid value is {nearest}"


def _inside(value: float, bounds: Range) -> bool:
    low, high = (-math.inf if bounds.low is None else bounds.low), (math.inf if bounds.high is None else bounds.high)
    return low <= value <= high


def _clamp(value: float, bounds: Range) -> str:
    above = bounds.high is not None and value > bounds.high
    return f"{bounds.high if above else bounds.low:g}"


def run_name_is_plain(config: RunConfig) -> Iterator[Violation]:
    name = config.run.name
    if not re.fullmatch(r"[a-z0-9_][a-z0-9._-]{0,63}", name):
        plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip(".-")[:64] or "pope"
        yield ("run.name",), (
            f"run.name={name[:80]!r} names a folder and Redis keys: 1 to 64 of a-z, 0-9, '.', '_', '-', "
            f"the first none of '.', '-'; try {plain}"
        )


def budget_allows_a_step(config: RunConfig) -> Iterator[Violation]:
    if config.run.max_groups is not None and config.run.max_groups < config.batch_groups:
        yield ("run.max_groups", "learner.batch_samples"), (
            f"run.max_groups={config.run.max_groups} ends before the first step, which takes {config.batch_groups} "
            f"groups (learner.batch_samples / actors.group_size); raise it to {config.batch_groups} or more"
        )


def builtins_exist(config: RunConfig) -> Iterator[Violation]:
    for key, value in (("model.path", config.model.path), ("problems.source", config.problems.source)):
        if not value:
            yield (key,), f"{key} is empty; give a path or {BUILTIN}"
        if value.startswith("builtin:") and value != BUILTIN:
            yield (key,), f"{key}={value[:80]} is not built in; the one there is: {BUILTIN}"


def problems_have_a_source(config: RunConfig) -> Iterator[Violation]:
    source = config.problems.source
    name, colon, path = source.partition(":")
    if name == "builtin" or (name in DATA_SETS and not colon):
        return
    file = path if name in DATA_SETS else source
    if not file.endswith(FILE_ENDINGS):
        yield ("problems.source",), (
            f"problems.source={source[:80]} is neither {BUILTIN}, nor a file that ends in {', '.join(FILE_ENDINGS)}, "
            f"nor one of {', '.join(DATA_SETS)}{did_you_mean(name, DATA_SETS)}"
        )


def reading_settings_suit_the_source(config: RunConfig) -> Iterator[Violation]:
    problems = config.problems
    if problems.split is not None and problems.source not in DATA_SETS:
        yield ("problems.split", "problems.source"), (
            f"problems.split={problems.split[:80]} needs a hub data set, and problems.source={problems.source[:80]} "
            "has no splits; set problems.split=null"
        )
    for name, value, none in (("fields", problems.fields, "{}"), ("levels", problems.levels, "null")):
        if value and problems.source == BUILTIN:
            yield (f"problems.{name}", "problems.source"), (
                f"problems.{name} is about the rows of a file, and problems.source={BUILTIN} has none; "
                f"set problems.{name}={none}"
            )


def fields_are_known(config: RunConfig) -> Iterator[Violation]:
    for name, column in config.problems.fields.items():
        if name not in FIELDS:
            yield ("problems.fields",), (
                f"problems.fields holds {name[:80]!r}, the fields are {', '.join(FIELDS)}{did_you_mean(name, FIELDS)}"
            )
        if not column:
            yield ("problems.fields",), f"problems.fields.{name} is empty; name the column, or leave the field out"


def levels_are_an_interval(config: RunConfig) -> Iterator[Violation]:
    levels = config.problems.levels
    if levels is not None and (len(levels) != 2 or not levels[0] <= levels[1] or not all(map(math.isfinite, levels))):
        yield ("problems.levels",), (
            f"problems.levels={str(levels)[:80]} must be [lowest, highest], such as [5, 10]; null takes all levels"
        )


def arms_are_drawable(config: RunConfig) -> Iterator[Violation]:
    key, arms = ("problems.arms",), config.problems.arms
    for arm, weight in arms.items():
        if arm not in ARMS:
            yield key, f"problems.arms holds {arm[:80]!r}, the arms are {', '.join(ARMS)}{did_you_mean(arm, ARMS)}"
        if not 0 <= weight <= 1000:
            yield key, f"problems.arms.{arm}={weight} is outside the weights 0 to 1000; 0 leaves the arm out"
    if not any(arms.values()):
        yield key, f"problems.arms={arms} draws nothing; give one of {', '.join(ARMS)} a weight of at least 1"
    if arms.get("easy") and config.problems.source == BUILTIN and config.problems.num_easy == 0:
        yield ("problems.num_easy", "problems.arms"), (
            f"problems.num_easy=0 leaves the arm easy (weight {arms['easy']}) nothing to draw; raise it, "
            "or set problems.arms.easy=0"
        )


def easier_problems_can_be_had(config: RunConfig) -> Iterator[Violation]:
    weight = config.problems.arms.get("easier")
    if weight and config.problems.source == BUILTIN:
        yield ("problems.arms", "problems.source"), (
            f"problems.arms.easier={weight} needs a file with problems of the bucket easier, and "
            f"problems.source={BUILTIN} has none; set problems.arms.easier=0, or problems.source"
        )


def buckets_are_apart(config: RunConfig) -> Iterator[Violation]:
    key, buckets = ("mining.buckets",), config.mining.buckets
    if not buckets:
        yield key, f"mining.buckets is empty; name at least one of {', '.join(BUCKETS)}, such as hard: [0, 0]"
    above, below = -1.0, ""
    for name, interval in sorted(buckets.items(), key=lambda item: item[1]):
        if name not in BUCKETS:
            known = f"the buckets are {', '.join(BUCKETS)}{did_you_mean(name, BUCKETS)}"
            yield key, f"mining.buckets holds {name[:80]!r}, {known}"
        if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
            yield key, f"mining.buckets.{name}={interval} is no interval of solve rates; write [low, high] in 0 to 1"
            return
        if interval[0] <= above:
            yield key, f"mining.buckets.{name}={interval} overlaps {below}; a solve rate must lie in one bucket at most"
        above, below = interval[1], name


def held_out_problems_can_be_made(config: RunConfig) -> Iterator[Violation]:
    held_out, source = config.evaluation.num_held_out, config.problems.source
    if held_out and source != BUILTIN:
        yield ("evaluation.num_held_out", "problems.source"), (
            f"evaluation.num_held_out={held_out} needs problems.source={BUILTIN}, which can make unseen problems; "
            f"it is {source}: set evaluation.num_held_out=0"
        )


def evaluations_pin_their_weights(config: RunConfig) -> Iterator[Violation]:
    evaluation, actors = config.evaluation, config.actors
    if evaluation.every_steps and config.weights.backend == "nccl":
        yield ("evaluation.every_steps", "weights.backend"), (
            f"evaluation.every_steps={evaluation.every_steps} holds an engine's weights while it writes a problem's "
            "rollouts, and weights.backend=nccl cannot wait for one engine: set evaluation.every_steps=0 and run "
            "pope eval on the checkpoints"
        )
    if evaluation.every_steps and evaluation.every_samples > actors.max_num_seqs:
        yield ("evaluation.every_samples", "actors.max_num_seqs"), (
            f"evaluation.every_samples={evaluation.every_samples} do not fit into the engine at once "
            f"(actors.max_num_seqs={actors.max_num_seqs}); lower the first to {actors.max_num_seqs} or less"
        )


def prompts_fit_the_engine(config: RunConfig) -> Iterator[Violation]:
    actors = config.actors
    if actors.max_num_seqs < actors.group_size:
        yield ("actors.max_num_seqs", "actors.group_size"), (
            f"actors.max_num_seqs={actors.max_num_seqs} cannot decode one group of "
            f"actors.group_size={actors.group_size} at once; raise the first to {actors.group_size} or more"
        )


def batch_holds_whole_groups(config: RunConfig) -> Iterator[Violation]:
    batch, group = config.learner.batch_samples, config.actors.group_size
    if batch % group:
        yield ("learner.batch_samples", "actors.group_size"), (
            f"learner.batch_samples={batch} is not a multiple of actors.group_size={group}, and groups are trained "
            f"whole; the nearest valid values are {_multiples(batch, group, group)}"
        )


def ring_holds_a_batch(config: RunConfig) -> Iterator[Violation]:
    keys = ("broker.ring.capacity", "learner.batch_samples", "actors.group_size")
    capacity, batch, group = config.broker.ring.capacity, config.learner.batch_samples, config.actors.group_size
    if capacity < batch:
        yield keys, (
            f"broker.ring.capacity={capacity} cannot hold one batch of learner.batch_samples={batch}, so no step would "
            f"ever start; raise the first to {batch} or lower the second"
        )
    if capacity % group:
        yield keys, (
            f"broker.ring.capacity={capacity} is not a multiple of actors.group_size={group}, and the ring keeps "
            f"groups whole; the nearest valid values are {_multiples(capacity, group, batch)} "
            f"(at least learner.batch_samples={batch})"
        )


def _multiples(value: int, of: int, at_least: int) -> str:
    below, above = value // of * of, (value // of + 1) * of
    return " and ".join(str(multiple) for multiple in (below, above) if multiple >= at_least)


def rows_hold_the_longest_sample(config: RunConfig) -> Iterator[Violation]:
    rows, longest = config.learner.row_tokens, config.actors.max_model_tokens
    if rows < longest:
        yield ("learner.row_tokens", "actors.max_prompt_tokens", "actors.max_completion_tokens"), (
            f"learner.row_tokens={rows} is smaller than the longest sample the actors may write, "
            f"actors.max_prompt_tokens + actors.max_completion_tokens = {longest}; raise the first to {longest} "
            "or lower one of the others"
        )


def every_rank_has_work(config: RunConfig) -> Iterator[Violation]:
    ranks, batch = config.learner.num_ranks, config.learner.batch_samples
    if ranks > batch:
        yield ("learner.num_ranks", "learner.batch_samples"), (
            f"learner.num_ranks={ranks} is more than the learner.batch_samples={batch} samples of a step; "
            f"lower the first to {batch} or raise the second"
        )


def lag_bound_lets_the_next_weights_come(config: RunConfig) -> Iterator[Violation]:
    # Between two publications `every_steps` steps train on what the older weights wrote; the last of them trains
    # tokens that are every_steps - 1 behind. A tighter bound admits too few groups for it, and all wait for ever.
    max_lag, every = config.learner.max_lag, config.weights.every_steps
    if max_lag is not None and max_lag < every - 1:
        yield ("learner.max_lag", "weights.every_steps"), (
            f"learner.max_lag={max_lag} with weights.every_steps={every} would wait for ever: the last step before a "
            f"publication trains tokens {every - 1} steps old; set weights.every_steps={max_lag + 1} or lower, "
            f"or learner.max_lag={every - 1} or higher"
        )


def settings_suit_the_device(config: RunConfig) -> Iterator[Violation]:
    if config.deploy.device == "cuda":
        return
    if config.weights.backend == "nccl":
        yield ("weights.backend", "deploy.device"), (
            "weights.backend=nccl needs GPUs and deploy.device=cpu; set weights.backend=file, or deploy.device=cuda"
        )
    if config.model.dtype != "float32":
        yield ("model.dtype", "deploy.device"), (
            f"model.dtype={config.model.dtype} needs deploy.device=cuda: on the CPU engine and learner agree in "
            "float32 only; set model.dtype=float32"
        )
    if config.actors.tensor_parallel > 1:
        yield ("actors.tensor_parallel", "deploy.device"), (
            f"actors.tensor_parallel={config.actors.tensor_parallel} splits one engine over GPUs and "
            "deploy.device=cpu; set actors.tensor_parallel=1, or deploy.device=cuda"
        )


def pass_at_k_can_be_estimated(config: RunConfig) -> Iterator[Violation]:
    ks, samples = config.evaluation.k, config.evaluation.samples
    if not ks or min(ks) < 1 or ks != sorted(set(ks)):
        yield ("evaluation.k",), f"evaluation.k={ks} must be whole numbers from 1, ascending, such as [1, 8]"
    elif max(ks) > samples:
        yield ("evaluation.k", "evaluation.samples"), (
            f"evaluation.k={ks} holds {max(ks)}, and pass@{max(ks)} cannot be estimated from "
            f"evaluation.samples={samples}; raise the samples to {max(ks)} or lower k"
        )


def broker_url_is_a_redis_url(config: RunConfig) -> Iterator[Violation]:
    url = config.broker.url
    if url is not None and not re.match(r"(redis|rediss|unix)://.", url):
        # The value is not shown: it may hold a password.
        yield ("broker.url",), (
            "broker.url must start with redis://, rediss:// or unix://, such as redis://127.0.0.1:6380/0; "
            "null starts the embedded server"
        )


def oracle_can_be_asked(config: RunConfig) -> Iterator[Violation]:
    oracle = config.oracle
    if not _is_endpoint(oracle.endpoint):
        # The value is not shown: it may hold a password.
        yield ("oracle.endpoint",), (
            "oracle.endpoint must be http://HOST or https://HOST with a port and path if need be, such as "
            "http://127.0.0.1:8000/v1, without user, password, query or fragment; a key goes where "
            "oracle.api_key_env says"
        )
    if oracle.api_key_env is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,63}", oracle.api_key_env):
        # Not shown either: it may be the key itself.
        yield ("oracle.api_key_env",), (
            "oracle.api_key_env must name an environment variable in capitals, such as ORACLE_API_KEY; "
            "the key itself never goes into the settings"
        )
    if oracle.model is not None and not (oracle.model.isprintable() and oracle.model.strip()):
        yield ("oracle.model",), "oracle.model must be a name on one line, as the endpoint knows the model"


def _is_endpoint(url: str) -> bool:
    if not re.fullmatch(r"https?://[A-Za-z0-9._~:\[\]-]+(/[A-Za-z0-9._~/%:+-]*)?", url):
        return False
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port above 65535, a bracket without its other
        return False


def one_bad_moment_is_no_dead_endpoint(config: RunConfig) -> Iterator[Violation]:
    failures, concurrency = config.oracle.max_failures, config.oracle.concurrency
    if failures < concurrency:
        yield ("oracle.max_failures", "oracle.concurrency"), (
            f"oracle.max_failures={failures} is fewer than the oracle.concurrency={concurrency} requests that one bad "
            f"moment of the endpoint fails together; raise the first to {concurrency} or more, or lower the second"
        )


def silence_is_longer_than_a_heartbeat(config: RunConfig) -> Iterator[Violation]:
    deploy = config.deploy
    if deploy.dead_after_s < 2 * deploy.heartbeat_s:
        yield ("deploy.dead_after_s", "deploy.heartbeat_s"), (
            f"deploy.dead_after_s={deploy.dead_after_s:g} would kill a healthy role that is one beat late "
            f"(deploy.heartbeat_s={deploy.heartbeat_s:g}); raise the first to {2 * deploy.heartbeat_s:g} or more"
        )


RULES: tuple[Rule, ...] = (
    numbers_are_in_range,
    run_name_is_plain,
    builtins_exist,
    buckets_are_apart,
    problems_have_a_source,
    fields_are_known,
    levels_are_an_interval,
    reading_settings_suit_the_source,
    arms_are_drawable,
    prompts_fit_the_engine,
    batch_holds_whole_groups,
    ring_holds_a_batch,
    budget_allows_a_step,
    rows_hold_the_longest_sample,
    every_rank_has_work,
    lag_bound_lets_the_next_weights_come,
    settings_suit_the_device,
    pass_at_k_can_be_estimated,
    easier_problems_can_be_had,
    held_out_problems_can_be_made,
    evaluations_pin_their_weights,
    broker_url_is_a_redis_url,
    oracle_can_be_asked,
    one_bad_moment_is_no_dead_endpoint,
    silence_is_longer_than_a_heartbeat,
)
