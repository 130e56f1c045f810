"""An embedded server that ended is restarted, and clients wait for it."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.connection import connect
from broker.server_health import RestartWatch, durability_warnings, needs_rewrite
from deploy.cluster.redis_keeper import keep_running
from deploy.cluster.redis_server import EmbeddedRedis
from tests.small_disk import fill, small_disk

pytestmark = pytest.mark.faults


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kill(server: EmbeddedRedis) -> int:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_killed_server_comes_back_with_its_data_and_a_patient_client_notices_nothing(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / ("long" * 30), max_memory_gib=0.1) as server, keep_running(server):
        client = connect(server.url, client_name="driver", retry_s=20)
        watch = RestartWatch(client, server.url)
        for n in range(3):
            client.rpush("list", n)
            pid = kill(server)
            client.rpush("other", n)
            with client.pipeline(transaction=True) as pipe:
                pipe.llen("list")
                pipe.llen("other")
                assert pipe.execute() == [n + 1, n + 1]
            assert server.pid != pid
            (said,) = watch.messages()
            assert said.startswith("Redis was restarted")
            assert watch.messages() == []
    assert not server.alive()


def test_a_pipeline_waits_for_the_server_too(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, max_memory_gib=0.1) as server, keep_running(server):
        client = connect(server.url, client_name="driver", retry_s=20)
        client.rpush("list", "a")
        kill(server)
        with client.pipeline(transaction=True) as pipe:
            pipe.llen("list")
            assert pipe.execute() == [1]


def test_a_server_that_does_not_start_is_tried_again_until_it_does(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedRedis(tmp_path, max_memory_gib=0.1) as server:
        connect(server.url, client_name="test").set("key", "value")
        manifest = next((tmp_path / "appendonlydir").glob("*.manifest"))
        sound = manifest.read_text()
        manifest.write_text("nonsense\n")
        with keep_running(server):
            kill(server)
            until(lambda: "cannot be restarted" in caplog.text)
            manifest.write_text(sound)
            until(server.alive)
            until(lambda: "was restarted" in caplog.text)
        assert connect(server.url, client_name="test").get("key") == b"value"


def test_a_server_whose_disk_is_full_comes_back_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "disk") as disk, EmbeddedRedis(disk / "redis", max_memory_gib=0.1) as server:
        client = connect(server.url, client_name="driver", retry_s=20)
        with keep_running(server):
            fill(disk / "ballast")
            filling = threading.Thread(target=lambda: [client.set(f"k{n}", "x" * 2000) for n in range(100)])
            filling.start()
            until(lambda: "is full; free some space, and the run continues" in caplog.text)
            assert not server.alive()
            (disk / "ballast").unlink()
            filling.join(20)
            assert client.get("k99") == b"x" * 2000
        said = [record.message for record in caplog.records]
        assert sum("is full" in line for line in said) == 1
        assert sum("was restarted" in line for line in said) <= 2


def test_a_server_whose_folder_cannot_be_written_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OSError of the start does not end the thread that keeps it."""
    with EmbeddedRedis(tmp_path, max_memory_gib=0.1) as server, keep_running(server):
        with monkeypatch.context() as broken:

            def refuse(path: Path, text: str) -> None:
                raise OSError(errno.EDQUOT, "Disk quota exceeded")

            broken.setattr("deploy.cluster.redis_server._write_private", refuse)
            kill(server)
            until(lambda: "cannot be restarted: [Errno 122] Disk quota exceeded; retrying" in caplog.text)
        until(server.alive)


def test_a_durable_server_leaves_no_doubt_and_one_without_a_file_does(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, max_memory_gib=0.1) as server:
        client = connect(server.url, client_name="test")
        assert durability_warnings(client, server.url) == []
        client.config_set("appendonly", "no")
        (said,) = durability_warnings(client, server.url)
        assert "appendonly yes" in said
        assert server.url.split("@")[0].removeprefix("unix://:") not in said, "the password"


@pytest.mark.parametrize(
    ("version", "aof", "needed"), [("7.0.15", 1, True), ("7.0.15", 0, False), ("7.2.4", 1, False), ("8.10.1", 1, False)]
)
def test_old_servers_must_write_their_file_anew(version: str, aof: int, needed: bool) -> None:
    assert needs_rewrite({"redis_version": version, "aof_enabled": aof}) is needed
