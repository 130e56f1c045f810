"""The embedded server: durability, privacy, its lock, its end with its owner."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from broker.connection import connect
from broker.errors import BrokerUnreachable, UsageError
from deploy.cluster.redis_server import EmbeddedRedis

OWNER = """
import sys, time
from pathlib import Path
from deploy.cluster.redis_server import EmbeddedRedis
server = EmbeddedRedis(Path(sys.argv[1]), fsync="always", max_memory_gib=0.1)
print(server.start(), server.pid, flush=True)
time.sleep(60)
"""


def start_owner(folder: Path) -> tuple[subprocess.Popen[str], str, int]:
    """Start a process that owns a server. Returns (process, URL, pid of the server)."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    url, pid = owner.stdout.readline().split()
    return owner, url, int(pid)


def gone(pid: int, timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.02)
    return False


def test_data_outlives_a_stop_and_the_url_stays(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1)
    url = server.start()
    connect(url, client_name="test").set("key", "value")
    server.stop()
    assert not server.alive()
    with EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1) as again:
        assert again.url == url
        assert connect(again.url, client_name="test").get("key") == b"value"


def test_every_acknowledged_write_outlives_a_kill(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", fsync="always", max_memory_gib=0.1) as server:
        for round_ in range(3):
            client = connect(server.url, client_name="test")
            for n in range(50):
                client.rpush("list", f"{round_}-{n}")
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            while server.alive():
                time.sleep(0.01)
            server.start()
        assert connect(server.url, client_name="test").llen("list") == 150


def test_the_settings_reach_the_server(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", fsync="always", max_memory_gib=0.25) as server:
        client = connect(server.url, client_name="test")
        expected = {
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory": str(2**28),
            "maxmemory-policy": "noeviction",
            "save": "",
            "port": "0",
        }
        for name, value in expected.items():
            assert client.config_get(name) == {name: value}
        limits = client.config_get("client-output-buffer-limit")["client-output-buffer-limit"]
        assert limits.startswith("normal 268435456 67108864 60 ")


def test_nobody_else_can_read_the_folder_and_a_password_is_needed(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1) as server:
        folder = tmp_path / "redis"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in ("valkey.conf", "password", "lock", "redis.sock"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
        path = server.url.rpartition("@")[2]
        with pytest.raises(BrokerUnreachable, match="password"):
            connect(f"unix://{path}", client_name="test")


def test_a_long_folder_gets_a_short_private_socket(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / ("long" * 30), max_memory_gib=0.1)
    with server:
        path = Path(server.url.rpartition("@")[2])
        assert len(str(path)) <= 100
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        connect(server.url, client_name="test").ping()
    assert not path.parent.exists()


def test_a_folder_with_odd_characters_works(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / 'a b%20"ü#', max_memory_gib=0.1) as server:
        connect(server.url, client_name="test").ping()


def test_tcp_listens_on_the_given_address_with_a_password(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1, listen="127.0.0.1") as server:
        assert server.url.startswith("redis://:")
        client = connect(server.url, client_name="test")
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        port = int(server.url.rpartition(":")[2].split("/")[0])
        with pytest.raises(BrokerUnreachable, match="password"):
            connect(f"redis://127.0.0.1:{port}/0", client_name="test")


def test_a_folder_in_use_is_refused_with_the_owner_and_the_remedy(tmp_path: Path) -> None:
    owner, _, _ = start_owner(tmp_path / "redis")
    try:
        with pytest.raises(UsageError) as caught:
            EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1).start()
        for part in (str(tmp_path / "redis"), f"pid {owner.pid}", "run.name"):
            assert part in str(caught.value)
    finally:
        owner.terminate()
        owner.wait()


def test_the_same_process_cannot_open_a_folder_twice(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1) as server:
        with pytest.raises(UsageError, match=f"pid {os.getpid()}"):
            EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1).start()
        connect(server.url, client_name="test").ping()


@pytest.mark.faults
def test_the_server_dies_with_its_owner_and_the_folder_is_free_again(tmp_path: Path) -> None:
    owner, url, pid = start_owner(tmp_path / "redis")
    connect(url, client_name="test").set("key", "value")
    owner.kill()
    owner.wait()
    with EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1) as server:
        assert connect(server.url, client_name="test").get("key") == b"value"
    assert gone(pid)


def test_ctrl_c_does_not_reach_the_server_before_its_owner(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1) as server:
        assert server.pid is not None
        assert os.getsid(server.pid) != os.getsid(0)


def test_data_that_cannot_be_read_is_an_error_in_one_line(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1) as server:
        connect(server.url, client_name="test").set("key", "value" * 100)
    manifest = next((tmp_path / "redis" / "appendonlydir").glob("*.manifest"))
    manifest.write_text("nonsense\n")
    broken = EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1)
    with pytest.raises(UsageError, match="ended with code 1") as caught:
        broken.start()
    assert "\n" not in str(caught.value)
    assert "valkey.log" in str(caught.value)
    assert not broken.alive()


def test_starting_twice_and_stopping_twice_are_no_ops(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", max_memory_gib=0.1)
    assert server.start() == server.start()
    server.stop()
    server.stop()
