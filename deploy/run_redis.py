"""From the folder of a run to the Redis that holds its keys."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.connection import Client, connect
from broker.errors import UsageError
from broker.keys import Keys
from broker.run_record import holds_run
from conf.load import load
from conf.redact import is_redacted, redacted
from conf.schema import RunConfig
from deploy.redis_server import EmbeddedRedis, running_url
from deploy.run_folder import RunFolder

URL_VARIABLE = "POPE_BROKER_URL"
"""Environment variable that holds the URL of an external Redis, password included: settings.yaml leaves it out."""


def find_run(path: Path) -> tuple[RunFolder, RunConfig]:
    """The folder of a run and its settings. Raises UsageError when the folder holds no run."""
    folder = RunFolder(path)
    if not folder.settings.exists():
        raise UsageError(f"{path} holds no run: name the folder that holds settings.yaml, such as runs/pope")
    return folder, load(folder.settings)


@contextmanager
def run_redis(folder: RunFolder, config: RunConfig, url: str | None = None) -> Iterator[tuple[Client, Keys]]:
    """A client of the server that holds the run's keys, and those keys.

    A run with a Redis of its own (`broker.url` set) is found at `url`, else at $POPE_BROKER_URL, else as its settings
    say. Any other run has the embedded server; where that no longer runs, it is started over its data meanwhile.
    Raises UsageError when a password is missing, nobody answers, or the server does not know the run.
    """
    if config.broker.url is not None:
        with serving(_external_url(config.broker.url, url), config.run.name, config.broker.connect_timeout_s) as found:
            yield found
        return
    if url is not None:
        raise UsageError(f"--url: the run in {folder.path} has the embedded Redis (broker.url=null); leave --url out")
    if running := running_url(folder.redis):
        with serving(running, config.run.name, config.broker.connect_timeout_s) as found:
            yield found
        return
    if not folder.redis.exists():
        raise UsageError(f"{folder.path} holds no data of an embedded Redis: {folder.redis} is not there")
    with (
        EmbeddedRedis(folder.redis, max_memory_gib=config.broker.max_memory_gib) as server,
        serving(server.url, config.run.name, config.broker.connect_timeout_s) as found,
    ):
        yield found


def _external_url(saved: str, given: str | None) -> str:
    """Where to look, by the settings of the run and what the user says now."""
    url = given or os.environ.get(URL_VARIABLE) or saved
    if is_redacted(url):
        raise UsageError(
            f"broker.url={url}: settings.yaml holds no password; give the whole URL in ${URL_VARIABLE} or with --url"
        )
    return url


@contextmanager
def serving(url: str, name: str, timeout_s: float = 5.0) -> Iterator[tuple[Client, Keys]]:
    """A reader's client of the server at `url`, which holds the run `name`. Raises UsageError when it does not."""
    keys = Keys(name)
    client = connect(url, client_name="reader", timeout_s=timeout_s)
    try:
        if not holds_run(client, keys):
            raise UsageError(
                f"broker.url={redacted(url)} holds no run named {name}: its keys were deleted, or this is "
                "another server"
            )
        yield client, keys
    finally:
        client.close()
