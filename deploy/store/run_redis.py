"""Access to the Redis of a run: for the command that runs it, and for commands that only read it."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from broker.acl import ROLES, Role, role_url, secret_of, user_rule
from broker.connection import Client, connect
from broker.errors import UsageError
from broker.keys import Keys
from broker.run_record import holds_run, require_layout
from conf.load import load
from conf.redact import is_redacted, redacted
from conf.schema import RunConfig
from deploy.cluster.redis_keeper import keep_running
from deploy.cluster.redis_server import EmbeddedRedis, running_url
from deploy.cluster.secret_environment import URL_VARIABLE
from deploy.store.run_folder import RunFolder

UrlOf = Callable[[Role], str]
"""The URL a role logs in with; it holds a password."""


def find_run(path: Path) -> tuple[RunFolder, RunConfig]:
    """The folder of a run and its settings. Raises UsageError when the folder holds no run."""
    folder = RunFolder(path)
    if not folder.settings.exists():
        raise UsageError(f"{path} holds no run: name the folder that holds settings.yaml, such as runs/pope")
    return folder, load(folder.settings)


def external_urls(config: RunConfig, given: str | None = None) -> UrlOf:
    """The URL of each role on the user's own server: from `given`, else $POPE_BROKER_URL, else `broker.url`.

    Raises UsageError when the password was redacted.
    """
    url = _whole_url(config, given)
    return partial(role_url, url, config.run.name) if config.broker.role_users else lambda role: url


def _whole_url(config: RunConfig, given: str | None) -> str:
    url = given or os.environ.get(URL_VARIABLE) or config.broker.url
    assert url is not None, "broker.url=null has an embedded server"
    if is_redacted(url):
        raise UsageError(
            f"broker.url={url}: settings.yaml holds no password; give the whole URL in ${URL_VARIABLE} or with --url"
        )
    return url


def acl_commands(config: RunConfig) -> list[str]:
    """`ACL SETUSER ...` for every role of a run on the user's own server, with hashes instead of passwords.

    Raises UsageError for the embedded server, or when the URL has no password.
    """
    if config.broker.url is None:
        raise UsageError("broker.url=null: the embedded server creates its users itself; set broker.url to your server")
    secret = secret_of(_whole_url(config, None))
    if secret is None:
        raise UsageError(f"broker.url={redacted(config.broker.url)} holds no password; give it in ${URL_VARIABLE}")
    return [_acl_command(user_rule(secret, config.run.name, role)) for role in ROLES]


def _acl_command(words: list[str]) -> str:
    """Quoted for redis-cli; `reset` comes first, so that permissions of an earlier command are removed."""
    name, *rules = words
    return " ".join(["ACL", "SETUSER", name, "reset", *(f'"{rule}"' for rule in rules)])


@contextmanager
def embedded_urls(folder: RunFolder, config: RunConfig) -> Iterator[UrlOf]:
    """Runs the embedded server of the run; yields the URL of each role."""
    broker = config.broker
    with EmbeddedRedis(
        folder.redis, run=config.run.name, fsync=broker.fsync, max_memory_gib=broker.max_memory_gib
    ) as server, keep_running(server):
        yield server.url_of


@contextmanager
def reader_url(folder: RunFolder, config: RunConfig, url: str | None = None) -> Iterator[str]:
    """Yields a URL with read access to the run's keys.

    For a run on the user's own Redis (`broker.url` is set) it is `url`, else as in `external_urls`. For a run with the
    embedded server, the server is started on its data until the context ends, unless it is running. Raises UsageError
    when `url` is given for an embedded server, or its data is missing.
    """
    if config.broker.url is not None:
        yield external_urls(config, url)("reader")
        return
    if url is not None:
        raise UsageError(f"--url: the run in {folder.path} uses the embedded Redis (broker.url=null); leave --url out")
    if running := running_url(folder.redis, config.run.name):
        yield running
        return
    if not folder.redis.exists():
        raise UsageError(f"{folder.path} holds no data of an embedded Redis: {folder.redis} is not there")
    with embedded_urls(folder, config) as url_of:
        yield url_of("reader")


@contextmanager
def serving(url: str, name: str, timeout_s: float = 5.0) -> Iterator[tuple[Client, Keys]]:
    """A reading client of the server at `url`, and the keys of the run `name` there.

    Raises UsageError when the server does not hold the run, or another version wrote it.
    """
    keys = Keys(name)
    client = connect(url, client_name="reader", timeout_s=timeout_s)
    try:
        if not holds_run(client, keys):
            raise UsageError(
                f"broker.url={redacted(url)} holds no run named {name}: its keys were deleted, or this is "
                "another server"
            )
        require_layout(client, keys)
        yield client, keys
    finally:
        client.close()


@contextmanager
def run_redis(folder: RunFolder, config: RunConfig, url: str | None = None) -> Iterator[tuple[Client, Keys]]:
    """A reading client of the server that holds the run's keys, and those keys; `url` as in `reader_url`.

    Raises UsageError when a password is missing, the server does not answer, or it does not hold the run.
    """
    with (
        reader_url(folder, config, url) as found,
        serving(found, config.run.name, config.broker.connect_timeout_s) as reading,
    ):
        yield reading
