"""An external server with one user for each role, made by the commands that `pope redis-acl` prints."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from broker.acl import ROLES, user
from broker.connection import connect
from broker.errors import UsageError
from broker.keys import Keys
from broker.run_record import open_run
from conf.load import dump, load
from conf.redact import redacted
from conf.schema import RunConfig
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.cluster.secret_environment import URL_VARIABLE
from deploy.store.run_folder import RunFolder
from deploy.store.run_redis import acl_commands, external_urls, reader_url, run_redis


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "elsewhere", fsync="everysec", max_memory_gib=0.1, listen="127.0.0.1") as running:
        yield running


@pytest.fixture
def config(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """The settings hold no password; the variable holds the secret of the run, which is no user's password."""
    place = server.url.rpartition("@")[2]
    monkeypatch.setenv(URL_VARIABLE, f"redis://:the-runs-secret@{place}")
    return load(None, [f"broker.url=redis://{place}", "broker.role_users=true", "run.name=shared"])


def make_users(server: EmbeddedRedis, config: RunConfig) -> None:
    owner = connect(server.url, client_name="owner")
    for command in acl_commands(config):
        assert "the-runs-secret" not in command
        owner.execute_command(*shlex.split(command))  # type: ignore[no-untyped-call]


def test_the_printed_commands_make_users_that_the_run_logs_in_with(server: EmbeddedRedis, config: RunConfig) -> None:
    for _ in range(2):  # again: a repeated command changes nothing
        make_users(server, config)
        url_of = external_urls(config)
        for role in ROLES:
            client = connect(url_of(role), client_name=role)
            assert client.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                client.acl_whoami()
        open_run(connect(url_of("driver"), client_name="driver"), Keys("shared"), "hash", resume=True)


def test_a_viewer_can_read_but_not_write(server: EmbeddedRedis, config: RunConfig, tmp_path: Path) -> None:
    make_users(server, config)
    open_run(connect(external_urls(config)("driver"), client_name="driver"), Keys("shared"), "hash", resume=False)
    folder = RunFolder(tmp_path)
    with run_redis(folder, config) as (client, keys):
        assert client.hget(keys.run, "settings_hash") == b"hash"
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.hset(keys.run, "settings_hash", "other")
    with reader_url(folder, config) as url:
        assert f"{user('shared', 'reader')}:" in url
        with run_redis(folder, config, url) as (client, keys):  # this URL needs no further secret
            assert client.exists(keys.run)


def test_the_embedded_server_is_read_by_its_reader(tmp_path: Path) -> None:
    config = load(None, ["run.name=own"])
    folder = RunFolder(tmp_path / "own")
    with EmbeddedRedis(folder.redis, run="own", max_memory_gib=0.1) as server:
        open_run(connect(server.url_of("driver"), client_name="driver"), Keys("own"), "hash", resume=False)
        with run_redis(folder, config) as (client, keys), pytest.raises(redis.exceptions.NoPermissionError):
            client.delete(keys.run)


def test_acl_commands_need_an_external_server_and_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    with pytest.raises(UsageError, match="creates its users itself"):
        acl_commands(load(None, []))
    with pytest.raises(UsageError, match="holds no password"):
        acl_commands(load(None, ["broker.url=redis://host:6380/0"]))


def test_a_missing_password_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    config = load(None, ["broker.url=redis://:***@host:6380/0"])
    assert redacted(config.broker.url) in dump(config)
    with pytest.raises(UsageError, match=URL_VARIABLE):
        external_urls(config)
