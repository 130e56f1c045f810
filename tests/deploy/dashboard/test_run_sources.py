"""Sources of runs by folder and by URL: live, finished, resumed and deleted runs, and a server that restarts."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from broker.connection import connect
from broker.errors import UsageError
from broker.keys import Keys
from conf.load import dump
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.cluster.secret_environment import URL_VARIABLE
from deploy.dashboard.run_sources import FolderSource, UrlSource, find_sources
from deploy.dashboard.serve import dashboard_process, listening
from deploy.store.run_folder import FolderLock, RunFolder
from deploy.view.screen import Screen
from tests.deploy.dashboard.live import NOON_S, finished_folder, replayed, settings
from tests.runs import REPOSITORY

QUIET = Screen(quiet=True)


def test_a_finished_run_is_read_and_its_folder_is_released(tmp_path: Path) -> None:
    path = finished_folder(tmp_path)
    source = FolderSource(path)
    source.open()
    live = source.model.live(source.away)
    assert (live.state, live.ended, live.step) == ("ended", "run.max_steps=12 reached", 12)
    assert source.read() is None
    assert source.away is None
    with EmbeddedRedis(path / "redis", run="replayed", fsync="everysec", max_memory_gib=0.2) as server:  # it is resumed
        client = connect(server.url, client_name="test")
        client.hdel(Keys("replayed").control, "stop")
        snapshot = source.read()
        assert snapshot is not None
        source.apply(snapshot)
        assert source.model.live().state == "live"
        client.close()
    source.close()


def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    config = settings("replayed")
    folder = RunFolder(tmp_path / "replayed")
    folder.path.mkdir()
    folder.settings.write_text(dump(config))
    server = EmbeddedRedis(folder.redis, run="replayed", fsync="always", max_memory_gib=0.2)
    replay = replayed(connect(server.start(), client_name="test"), "replayed", until=NOON_S)
    source = FolderSource(folder.path)
    source.open()
    before = source.model.whole()
    lock = FolderLock(folder.path)  # of the driver, which restarts the server
    lock.acquire()
    server.stop()
    assert source.read() is None
    assert source.away is not None
    assert source.model.live(source.away).state == "away"
    server.start()
    snapshot = source.read()
    assert snapshot is not None
    source.apply(snapshot)
    assert source.away is None
    after = source.model.whole()
    assert (after.steps, after.heat) == (before.steps, before.heat)
    source.close()
    replay.client.close()
    server.stop()
    lock.release()


def test_a_run_that_ends_while_it_is_watched_is_quiet_and_complete_from_its_files(tmp_path: Path) -> None:
    path = finished_folder(tmp_path)
    with EmbeddedRedis(path / "redis", run="replayed", fsync="everysec", max_memory_gib=0.2):
        source = FolderSource(path)
        source.open()
        assert source.model.live().state == "ended"
        before = source.model.whole()
    snapshot = source.read()  # the server has ended
    assert snapshot is not None
    source.apply(snapshot)
    live = source.model.live(source.away)
    assert (source.away, live.state, live.ended, live.step) == (None, "ended", "run.max_steps=12 reached", 12)
    assert not [alert for alert in live.alerts if "Redis" in alert.title]
    assert source.model.whole().steps == before.steps
    assert source.read() is None
    assert source.away is None


def test_a_run_on_another_server_that_was_seen_to_stop_is_quiet_when_the_server_is_gone(
    client: redis.Redis, redis_url: str, run_name: str, keys: Keys
) -> None:
    replayed(client, run_name)
    client.hset(keys.control, "stop", "run.max_steps=12 reached")
    source = UrlSource(run_name, redis_url)
    source.open()
    for key in client.scan_iter(match=keys.prefix + "*"):
        client.delete(key)
    source.close()
    for _ in range(2):
        assert source.read() is None
        assert (source.away, source.model.live(source.away).state) == (None, "ended")


def test_a_new_run_under_the_same_name_replaces_the_old_one(
    client: redis.Redis, redis_url: str, keys: Keys, run_name: str
) -> None:
    replayed(client, run_name)
    source = UrlSource(run_name, redis_url)
    source.open()
    assert source.model.config.run.max_groups is None  # the settings came out of Redis
    for key in client.scan_iter(match=keys.prefix + "*"):
        client.delete(key)
    replayed(client, run_name, until=NOON_S / 4)
    for _ in range(2):
        snapshot = source.read()
        assert snapshot is not None
        source.apply(snapshot)
    assert source.model.live().step == 2
    source.close()


def test_runs_are_found_by_folder_by_folder_of_runs_and_by_url(
    tmp_path: Path, client: redis.Redis, redis_url: str, run_name: str
) -> None:
    path = finished_folder(tmp_path, "one")
    finished_folder(tmp_path / "other", "one")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "settings.yaml").write_text(dump(settings("broken")))
    assert [source.name for source in find_sources([tmp_path], None, QUIET)] == ["one"]
    assert [source.name for source in find_sources([path, tmp_path / "other"], None, QUIET)] == ["one", "one~2"]
    with pytest.raises(UsageError, match="holds no data"):
        find_sources([tmp_path / "broken"], None, QUIET)
    with pytest.raises(UsageError, match="holds no run"):
        find_sources([tmp_path / "nowhere"], None, QUIET)
    replayed(client, run_name, until=NOON_S / 4)
    sources = find_sources([], redis_url, QUIET)
    assert run_name in [source.name for source in sources]
    for source in sources:
        source.close()


def test_a_taken_port_is_an_error_with_the_remedy() -> None:
    with listening("127.0.0.1", 0) as first, pytest.raises(UsageError, match="--port"), listening(
        "127.0.0.1", first.getsockname()[1]
    ):
        pass


def test_the_dashboard_of_a_run_starts_and_ends_with_it(tmp_path: Path) -> None:
    folder = RunFolder(finished_folder(tmp_path))
    folder.logs.mkdir()
    config = settings("replayed")
    config = replace(config, deploy=replace(config.deploy, dashboard=True, dashboard_port=0))
    console = Screen(record=True, width=200)
    with dashboard_process(config, folder, "", console):
        address = console.export_text().split("dashboard: ")[1].strip()
        answer = httpx.get(f"{address}api/runs", timeout=60)
        assert answer.json() == ["replayed"]
    with pytest.raises(httpx.ConnectError):
        httpx.get(address, timeout=5)


def test_a_run_without_the_setting_starts_no_dashboard(tmp_path: Path) -> None:
    with dashboard_process(settings("replayed"), RunFolder(tmp_path), "", QUIET):
        assert not list(tmp_path.iterdir())


def test_the_dashboard_of_a_run_on_an_external_server_logs_in_as_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the driver's login nor any other secret reaches the process that serves the page."""
    with EmbeddedRedis(tmp_path / "elsewhere", run="replayed", max_memory_gib=0.2, listen="127.0.0.1") as server:
        replayed(connect(server.url_of("driver"), client_name="test"), "replayed", until=NOON_S)
        config = settings("replayed")
        place = f"redis://{server.url.rpartition('@')[2]}"
        broker = replace(config.broker, url=place, role_users=True)
        config = replace(config, broker=broker, deploy=replace(config.deploy, dashboard=True, dashboard_port=0))
        folder = RunFolder(tmp_path / "replayed")
        folder.logs.mkdir(parents=True)
        folder.settings.write_text(dump(config))
        monkeypatch.setenv(URL_VARIABLE, server.url)
        monkeypatch.setenv("HF_TOKEN", "canary")
        console = Screen(record=True, width=200)
        with dashboard_process(config, folder, server.url_of("reader"), console):
            address = console.export_text().split("dashboard: ")[1].strip()
            assert httpx.get(f"{address}api/cards", timeout=60).json()["replayed"]["live"]["step"] == 10
            served = [
                environ
                for process in psutil.Process().children()
                if "deploy.dashboard.serve" in process.cmdline() and (environ := process.environ())
            ]
            assert [environ[URL_VARIABLE] for environ in served] == [server.url_of("reader")]
            assert "HF_TOKEN" not in served[0]


def test_a_readers_url_shows_its_run(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, run="replayed", max_memory_gib=0.2, listen="127.0.0.1") as server:
        replayed(connect(server.url_of("driver"), client_name="test"), "replayed", until=NOON_S)
        (source,) = find_sources([], server.url_of("reader"), QUIET)
        assert (source.name, source.model.live().step) == ("replayed", 10)
        source.close()
        with pytest.raises(UsageError, match="name the folder of a run"):
            find_sources([], server.url_of("learner"), QUIET)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dashboard", "nowhere"], "nowhere holds no run"),
        (["dashboard", "--port", "70000"], "65535"),
        (["watch", "nowhere"], "nowhere holds no run"),
        (["export", "nowhere", "--to", "tensorboard"], "nowhere holds no run"),
        (["export", "nowhere", "--to", "paper"], "paper"),
    ],
)
def test_bad_input_is_one_line_and_code_2(tmp_path: Path, words: list[str], said: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "deploy.cli", *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
