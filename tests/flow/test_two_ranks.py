"""Synchronous GRPO (`max_lag=0`) with a KL penalty, an entropy bonus and oracle rollouts, on two learner ranks and an
external Redis: what it trains, the addresses it listens on, and where its secrets can be read."""

import contextlib
import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from broker.connection import connect
from broker.reports import GroupEnd, LearnerStep
from deploy.cluster.ray_session import private_folder
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.store.metric_files import read_reports
from tests.runs import PATIENCE_S, Run, start_run

pytestmark = [pytest.mark.flow, pytest.mark.timeout(2 * PATIENCE_S)]

STEPS = 6
SETTINGS = (
    f"run.max_steps={STEPS}", "learner.max_lag=0", "arms.guided=0", "learner.policy_loss=ppo_clip",
    "learner.kl_coef=0.01", "learner.entropy_coef=0.001", "actors.oracle_member=true", "preprocess.advantage=mean",
    "learner.num_ranks=2", "learner.zero_stage=2", "learner.checkpoint_every=3", "oracle.api_key_env=ORACLE_KEY",
    "evaluation.before=false",
)  # fmt: skip
CANARIES = {
    "POPE_BROKER_URL": "canary-of-the-broker-4711",
    "HF_TOKEN": "hf_canaryOfTheHub4711",
    "ORACLE_KEY": "sk-canary-of-the-oracle-4711",
}


@dataclass
class Observed:
    """A finished run, and what was seen of it while it trained."""

    run: Run
    sockets: set[tuple[str, str]] = field(default_factory=set)
    """(process, address) of every socket on which it listened."""
    environments: dict[str, str] = field(default_factory=dict)
    """Process -> its environment, of every process that the driver started."""
    command_lines: list[str] = field(default_factory=list)
    output: str = ""
    sessions: list[Path] = field(default_factory=list)
    """Folders of its Ray sessions."""

    def observe(self) -> None:
        self.sockets.update(listening(self.run))
        for process in self.run.descendants():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                self.environments[" ".join(process.cmdline())[:80]] = str(process.environ())
                self.command_lines.append(" ".join(process.cmdline()))


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


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    """The ranks connect over the network; the URL of the external Redis is a secret."""
    root = tmp_path_factory.mktemp("two_ranks")
    with (
        EmbeddedRedis(root / "elsewhere", fsync="everysec", max_memory_gib=0.5, listen="127.0.0.1") as server,
        pytest.MonkeyPatch.context() as patch,
        connect(server.url, client_name="owner") as owner,
    ):
        password, place = CANARIES["POPE_BROKER_URL"], server.url.rpartition("@")[2]
        owner.acl_setuser("canary", enabled=True, passwords=[f"+{password}"], keys=["*"], categories=["+@all"])
        patch.setenv("POPE_BROKER_URL", f"redis://canary:{password}@{place}")
        patch.setenv("HF_TOKEN", CANARIES["HF_TOKEN"])
        patch.setenv("ORACLE_KEY", CANARIES["ORACLE_KEY"])
        before = set(private_folder().glob("session_2*"))
        observed = Observed(start_run(root, f"broker.url=redis://{place}", *SETTINGS, name="exposed"))

        def trained() -> bool:
            observed.observe()
            return int(owner.hget("pope:{exposed}:learner", "committed") or 0) >= 3

        try:
            observed.run.wait_until(trained, "three optimizer steps", every_s=1.0)  # a look costs much CPU time
            assert observed.run.process.poll() is None, observed.run.wait(1) + observed.run.logs()
            observed.output = observed.run.wait()
        finally:
            if observed.run.process.poll() is None:
                observed.run.kill()
        observed.sessions = [path for path in private_folder().glob("session_2*") if path not in before]
        yield observed


def test_synchronous_grpo_with_kl_penalty_entropy_bonus_and_oracle_rollouts(observed: Observed) -> None:
    run = observed.run
    assert run.process.returncode == 0, observed.output + run.logs()
    assert "could not make it train stably" in " ".join(observed.output.split())
    assert run.left_behind() == []
    summary = run.summary()
    assert summary["steps"] == STEPS
    assert summary["counters"]["balanced"]
    # Every trained token was written by the policy version that it updates.
    assert summary["lag_steps"] == {"mean": 0.0, "max": 0}
    assert summary["multi_version_rollouts"] == 0
    assert summary["counters"]["stale"] == 0

    steps = list(read_reports(run.folder / "metrics", LearnerStep))
    kl = [step.kl for step in steps if step.kl is not None]
    assert len(kl) == STEPS
    assert kl[0] < 1e-6, "the policy of the first step is the reference"
    assert kl[-1] > 100 * max(kl[0], 1e-9), "the policy moved away from it, and it did not follow"
    # At lag 0 learner and engine compute the same log-probabilities. An oracle has none to differ from.
    assert max(step.logprob_rms for step in steps) < 1e-5
    assert all(step.logprob_rms_lag0 is not None and step.logprob_rms_lag0 < 1e-5 for step in steps)
    assert {step.samples for step in steps} == {28}, "four groups of seven rollouts and an oracle"

    groups = list(read_reports(run.folder / "metrics", GroupEnd))
    assert {group.rollouts for group in groups} == {7}
    assert all(group.successes <= 7 for group in groups)


def test_a_run_listens_on_loopback_only_and_shows_its_secrets_nowhere(observed: Observed) -> None:
    run = observed.run
    assert run.process.returncode == 0, observed.output + run.logs()
    assert len(observed.sockets) > 3, "Ray alone has more"
    assert reachable(observed.sockets) == set(), sorted(observed.sockets)

    assert observed.sessions, "Ray's logs were not found"
    folders = [run.folder, *observed.sessions]
    for name, canary in CANARIES.items():
        assert canary not in observed.output
        assert files_with(canary, folders) == [], name
        assert not [line for line in observed.command_lines if canary in line], name
        # The driver has them; no process that it started does.
        assert not [process for process, values in observed.environments.items() if canary in values], name
    assert os.stat(run.folder / "settings.yaml").st_size > 0
