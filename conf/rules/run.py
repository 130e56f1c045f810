"""The run: its name, device and servers."""

import re
from collections.abc import Iterator

from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig


def run_name_is_valid(config: RunConfig) -> Iterator[Violation]:
    name = config.run.name
    if not re.fullmatch(r"[a-z0-9_][a-z0-9._-]{0,63}", name):
        plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip(".-")[:64] or "pope"
        yield ("run.name",), (
            f"run.name={name[:80]!r} names a folder and Redis keys and must be 1 to 64 of a-z, 0-9, '.', '_', '-', "
            f"not starting with '.' or '-'; try {plain}"
        )


def settings_suit_the_device(config: RunConfig) -> Iterator[Violation]:
    if config.deploy.device == "cuda":
        return
    if config.weights.backend == "nccl":
        yield ("weights.backend", "deploy.device"), (
            "weights.backend=nccl needs GPUs, and deploy.device=cpu; set weights.backend=file, or deploy.device=cuda"
        )
    if config.actors.tensor_parallel > 1:
        yield ("actors.tensor_parallel", "deploy.device"), (
            f"actors.tensor_parallel={config.actors.tensor_parallel} splits one engine over GPUs, and "
            "deploy.device=cpu; set actors.tensor_parallel=1, or deploy.device=cuda"
        )
    if config.learner.attention == "flex":
        yield ("learner.attention", "deploy.device"), (
            "learner.attention=flex has no backward pass on a CPU, and deploy.device=cpu; set learner.attention=auto, "
            "or deploy.device=cuda"
        )


def one_gpu_is_shared_by_one_engine_and_one_rank(config: RunConfig) -> Iterator[Violation]:
    if not config.deploy.share_gpu:
        return
    wanted = {
        "deploy.device": (config.deploy.device, "cuda", "there is no GPU to share"),
        "actors.num_actors": (config.actors.num_actors, 1, "one engine shares a GPU with one rank"),
        "actors.tensor_parallel": (config.actors.tensor_parallel, 1, "the engine has a part of one GPU"),
        "learner.num_ranks": (config.learner.num_ranks, 1, "one engine shares a GPU with one rank"),
        "weights.backend": (config.weights.backend, "file", "NCCL connects no two processes on one GPU"),
    }
    for name, (value, needed, reason) in wanted.items():
        if value != needed:
            yield (name, "deploy.share_gpu"), (
                f"{name}={value} with deploy.share_gpu=true: {reason}; set {name}={needed}, or deploy.share_gpu=false"
            )


def dead_after_exceeds_two_heartbeats(config: RunConfig) -> Iterator[Violation]:
    deploy = config.deploy
    if deploy.dead_after_s < 2 * deploy.heartbeat_s:
        yield ("deploy.dead_after_s", "deploy.heartbeat_s"), (
            f"deploy.dead_after_s={deploy.dead_after_s:g} would kill a healthy role after one late heartbeat "
            f"(deploy.heartbeat_s={deploy.heartbeat_s:g}); raise the first to {2 * deploy.heartbeat_s:g} or more"
        )


def broker_url_is_a_redis_url(config: RunConfig) -> Iterator[Violation]:
    url = config.broker.url
    if url is not None and not re.match(r"(redis|rediss|unix)://.", url):
        # The value is not shown: it may hold a password.
        yield ("broker.url",), (
            "broker.url must start with redis://, rediss:// or unix://, such as redis://127.0.0.1:6380/0; "
            "null starts the embedded server"
        )


def role_users_need_an_external_server(config: RunConfig) -> Iterator[Violation]:
    if config.broker.role_users and config.broker.url is None:
        yield ("broker.role_users", "broker.url"), (
            "broker.role_users=true applies to an external server, and broker.url=null starts the embedded one, which "
            "always has a user for each role; set broker.role_users=false, or broker.url"
        )


RULES: tuple[Rule, ...] = (
    run_name_is_valid,
    settings_suit_the_device,
    one_gpu_is_shared_by_one_engine_and_one_rank,
    dead_after_exceeds_two_heartbeats,
    broker_url_is_a_redis_url,
    role_users_need_an_external_server,
)
