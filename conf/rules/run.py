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
    if config.model.dtype != "float32":
        yield ("model.dtype", "deploy.device"), (
            f"model.dtype={config.model.dtype} needs deploy.device=cuda, because engine and learner agree on a CPU in "
            "float32 only; set model.dtype=float32"
        )
    if config.actors.tensor_parallel > 1:
        yield ("actors.tensor_parallel", "deploy.device"), (
            f"actors.tensor_parallel={config.actors.tensor_parallel} splits one engine over GPUs, and "
            "deploy.device=cpu; set actors.tensor_parallel=1, or deploy.device=cuda"
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
    dead_after_exceeds_two_heartbeats,
    broker_url_is_a_redis_url,
    role_users_need_an_external_server,
)
