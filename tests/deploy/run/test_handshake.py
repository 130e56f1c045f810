"""The handshake of a start, with roles in this process that say they are on other nodes."""

import io
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from broker.errors import UsageError
from conf.load import load
from deploy.cluster import shared_folder
from deploy.cluster.fleet import ManagedRole
from deploy.cluster.node_check import NodeFacts, NodeNeeds, look
from deploy.run.handshake import Handshake
from deploy.store.run_folder import RunFolder


class Node:
    """A host on which roles run; a call has its result at once."""

    def __init__(self, name: str, address: str, *, clock_s: float = 0.0, disk: Path | None = None) -> None:
        """`disk`: what lies there at the path of the run folder; None: the run folder."""
        self.name, self.address, self.clock_s, self.disk = name, address, clock_s, disk
        self.started: list[str] = []

    def look(self, role: str, needs: NodeNeeds) -> NodeFacts:
        if self.disk is not None:
            needs = replace(needs, folders=tuple(replace(folder, path=self.disk) for folder in needs.folders))
        return msgspec.structs.replace(look(role, needs, self.address), host=self.name)

    def done(self, call: Any) -> bool:
        return True

    def result(self, call: Any, timeout_s: float | None = None) -> Any:
        return call

    def kill(self, handle: Any) -> None: ...


class Start:
    """The roles of a run on some nodes."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.model = folder / "model"
        self.model.mkdir()
        (self.model / "config.json").write_text("{}")
        self.run, self.output = RunFolder(folder / "run"), io.StringIO()
        self.run.checkpoints.mkdir(parents=True)
        self.config = load(None, [f"run.root={folder}", *overrides])
        self.handshake = Handshake(self.run, Console(file=self.output, width=200))
        self.roles: list[ManagedRole] = []

    def role(self, kind: Any, number: int, node: Node) -> None:
        name = f"{kind}-{number}"
        needs = self.handshake.needs(self.config, name, kind, self.model)
        remotes = {
            "look": lambda: node.look(name, needs),
            "clock": lambda: time.time() + node.clock_s,
            "start": lambda: node.started.append(name),
        }
        handle = SimpleNamespace(**{call: SimpleNamespace(remote=answer) for call, answer in remotes.items()})
        self.roles.append(ManagedRole(name, spawn=lambda: handle, log_path="log", host=node))

    def greet(self) -> str:
        """What is printed."""
        self.handshake.greet(self.roles, 5.0)
        return self.output.getvalue()


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return Start(tmp_path)


def test_one_node_is_one_line_and_every_role_is_kept_in_the_run_folder(start: Start) -> None:
    node = Node("laptop", "127.0.0.1")
    for kind in ("actor", "preprocess", "learner"):
        start.role(kind, 0, node)
    (line,) = start.greet().splitlines()
    assert line.startswith("    laptop: 3 roles, ")
    assert "disk of the run" in line
    kept = json.loads(start.run.handshake.read_bytes())["roles"]
    assert [role["role"] for role in kept] == ["actor-0", "preprocess-0", "learner-0"]
    assert kept[0]["model_files"].keys() == {"config.json"}
    assert kept[1]["model_files"] == {}, "without a KL penalty a preprocessor loads no model"
    assert kept[2]["folders"] == {"the run folder": "shared", "the checkpoint folder": "shared"}
    assert abs(kept[2]["clock_offset_s"]) < 1.0
    assert node.started == [], "the handshake starts no role"
    start.output.truncate(0)
    start.handshake.greet(start.roles, 5.0)
    assert start.output.getvalue().strip("\0") == "", "a node that was shown is not shown again"
    start.handshake.close()
    assert not list(start.run.path.rglob(".handshake-*"))


def test_a_role_on_another_disk_ends_the_start(start: Start, tmp_path: Path) -> None:
    here, there = Node("head", "10.0.0.1"), Node("gpu7", "10.0.0.7", disk=tmp_path / "local")
    start.role("actor", 0, here)
    start.role("learner", 0, here)
    start.role("learner", 1, there)
    with pytest.raises(UsageError, match=r"^learner-1 on gpu7 \(10\.0\.0\.7\) does not see the run .*put run\.root"):
        start.greet()


def test_a_folder_in_which_the_driver_does_not_see_the_files_of_a_role_is_not_shared(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the run folder had been copied to the other node."""
    monkeypatch.setattr(shared_folder, "APPEAR_S", 0.1)
    there = Node("gpu7", "10.0.0.7", disk=tmp_path / "copy")
    start.role("actor", 0, there)
    (proof,) = start.run.path.glob(".handshake-*")
    (tmp_path / "copy" / proof.name).mkdir(parents=True)
    (tmp_path / "copy" / proof.name / "driver").write_bytes((proof / "driver").read_bytes())
    with pytest.raises(UsageError, match=r"actor-0 on gpu7 .* does not see the run folder"):
        start.greet()


def test_the_file_backend_is_refused_where_the_weights_folder_is_not_shared(tmp_path: Path) -> None:
    weights = tmp_path / "shm"
    start = Start(tmp_path, "weights.backend=file", f"weights.folder={weights}")
    far = Node("gpu7", "10.0.0.7")
    start.role("actor", 0, far)
    look = far.look

    def other_memory(role: str, needs: NodeNeeds) -> NodeFacts:
        run, shm = needs.folders
        return look(role, replace(needs, folders=(run, replace(shm, path=tmp_path / "other"))))

    far.look = other_memory  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=r"the weights folder .*/shm .*set weights\.folder to one on a shared disk"):
        start.greet()


def test_several_nodes_are_a_table_with_clocks_and_a_wrong_clock_is_a_warning(start: Start) -> None:
    start.role("actor", 0, Node("gpu1", "10.0.0.1"))
    start.role("learner", 0, Node("gpu2", "10.0.0.2", clock_s=7200.0))
    shown = start.greet()
    assert "gpu1 (10.0.0.1)" in shown
    assert re.search(r"│ +\+7[12]\d\d\.\d{3} s │", shown), "two hours, as exactly as a busy machine measures it"
    assert re.search(r"the clock of gpu2 \(10\.0\.0\.2\) differs from the driver's by \+7[12]\d\d", shown)
