"""What a run exposes: the addresses it listens on, and where its secrets can be read."""

import contextlib
import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from broker.connection import connect
from deploy.cluster.ray_session import private_folder
from deploy.cluster.redis_server import EmbeddedRedis
from tests.runs import PATIENCE_S, Run, start_run, wait_until

pytestmark = [pytest.mark.flow, pytest.mark.timeout(2 * PATIENCE_S)]

CANARIES = {
    "POPE_BROKER_URL": "canary-of-the-broker-4711",
    "HF_TOKEN": "hf_canaryOfTheHub4711",
    "ORACLE_KEY": "sk-canary-of-the-oracle-4711",
}


def listening(run: Run) -> set[tuple[str, str]]:
    """(process, address) of every listening TCP socket and every open UDP socket of the run."""
    sockets = set()
    for process in [psutil.Process(run.process.pid), *run.descendants()]:
        with contextlib.suppress(psutil.NoSuchProcess):
            for socket in process.net_connections("inet"):
                if socket.status == psutil.CONN_LISTEN or (socket.status == psutil.CONN_NONE and not socket.raddr):
                    sockets.add((" ".join(process.cmdline())[:80], f"{socket.laddr.ip}:{socket.laddr.port}"))
    return sockets


def reachable(sockets: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that other machines can reach."""
    return {(name, address) for name, address in sockets if not _loopback(address.rpartition(":")[0])}


def _loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback


def files_with(canary: str, folders: list[Path]) -> list[Path]:
    word = canary.encode()
    return [
        path for folder in folders for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and word in path.read_bytes()
    ]  # fmt: skip


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """An external Redis on TCP."""
    with EmbeddedRedis(tmp_path / "elsewhere", fsync="everysec", max_memory_gib=0.5, listen="127.0.0.1") as running:
        yield running


def test_a_run_listens_on_loopback_only_and_shows_its_secrets_nowhere(
    tmp_path: Path, server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two learner ranks, which connect over the network, and an external Redis, whose URL is a secret."""
    owner = connect(server.url, client_name="owner")
    password, place = CANARIES["POPE_BROKER_URL"], server.url.rpartition("@")[2]
    owner.acl_setuser("canary", enabled=True, passwords=[f"+{password}"], keys=["*"], categories=["+@all"])
    monkeypatch.setenv("POPE_BROKER_URL", f"redis://canary:{password}@{place}")
    monkeypatch.setenv("HF_TOKEN", CANARIES["HF_TOKEN"])
    monkeypatch.setenv("ORACLE_KEY", CANARIES["ORACLE_KEY"])
    before = set(private_folder().glob("session_2*"))
    run = start_run(
        tmp_path, f"broker.url=redis://{place}", "oracle.api_key_env=ORACLE_KEY", "run.max_steps=6", "arms.guided=0",
        "learner.num_ranks=2", "learner.zero_stage=2", "learner.checkpoint_every=3", name="exposed",
    )  # fmt: skip
    seen: set[tuple[str, str]] = set()
    environments: dict[str, str] = {}
    command_lines: list[str] = []

    def trained() -> bool:
        seen.update(listening(run))
        for process in run.descendants():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                environments[" ".join(process.cmdline())[:80]] = str(process.environ())
                command_lines.append(" ".join(process.cmdline()))
        return run.process.poll() is not None or int(owner.hget("pope:{exposed}:learner", "committed") or 0) >= 3

    try:
        wait_until(trained, "three optimizer steps")
        assert run.process.poll() is None, run.wait(1) + run.logs()
        output = run.wait()
    finally:
        if run.process.poll() is None:
            run.kill()
    assert run.process.returncode == 0, output + run.logs()

    assert len(seen) > 3, "Ray alone has more"
    assert reachable(seen) == set(), sorted(seen)

    sessions = [path for path in private_folder().glob("session_2*") if path not in before]
    assert sessions, "Ray's logs were not found"
    folders = [run.folder, *sessions]
    for name, canary in CANARIES.items():
        assert canary not in output
        assert files_with(canary, folders) == [], name
        assert not [line for line in command_lines if canary in line], name
        # The driver has them; no process that it started does.
        assert not [process for process, values in environments.items() if canary in values], name
    assert os.stat(run.folder / "settings.yaml").st_size > 0
