"""What a role needs of its node, and the sentence for each rule that is broken."""

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from deploy.cluster import shared_folder
from deploy.cluster.node_check import (
    NodeFacts,
    NodeNeeds,
    fingerprints,
    look,
    misfit,
    model_files,
    package_versions,
)
from deploy.cluster.role_process import RoleProcess
from deploy.cluster.shared_folder import FolderState, SharedFolder

REMEDY = "put run.root on a shared disk"


@pytest.fixture
def needs(tmp_path: Path) -> NodeNeeds:
    """Of a role whose node is this one."""
    model, run = tmp_path / "model", tmp_path / "run"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "qwen3"}')
    (model / "model.safetensors").write_bytes(bytes(3 << 20))
    (model / "README.md").write_text("not loaded")
    folder = SharedFolder("the run folder", run, "0a1b", REMEDY)
    folder.open()
    return NodeNeeds(
        driver="head",
        folders=(folder,),
        model_name="mine",
        model_path=model,
        model_files=fingerprints(model, model_files(model)),
        versions=package_versions(),
    )


def found(needs: NodeNeeds) -> NodeFacts:
    return msgspec.structs.replace(look("learner-1", needs, "10.0.0.7"), host="gpu7")


def test_a_node_with_folder_model_and_packages_fits(needs: NodeNeeds) -> None:
    facts = found(needs)
    assert misfit(needs, facts) is None
    assert facts.node == "gpu7 (10.0.0.7)"
    assert set(facts.model_files) == {"config.json", "model.safetensors"}
    assert facts.versions["vllm"] is not None
    assert needs.folders[0].answered("learner-1")


def test_a_role_on_another_disk_is_named_with_its_host_and_the_remedy(needs: NodeNeeds, tmp_path: Path) -> None:
    elsewhere = replace(needs.folders[0], path=tmp_path / "elsewhere")
    facts = found(replace(needs, folders=(elsewhere,)))
    assert misfit(needs, facts) == (
        f"learner-1 on gpu7 (10.0.0.7) does not see the run folder {tmp_path}/run of the driver on head: that path is "
        f"absent there, or another disk; {REMEDY}"
    )
    assert not elsewhere.path.exists(), "a role leaves nothing on a disk that is not the run's"


def test_a_folder_of_the_same_path_without_the_token_of_this_start_is_another_one(
    needs: NodeNeeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_folder, "APPEAR_S", 0.1)
    assert replace(needs.folders[0], token="ffff").answer("learner-1") == "another"


@pytest.mark.parametrize(
    ("state", "sentence"),
    [("forbidden", "may not read and write the run folder"), ("full", "the disk of the run folder .* is full")],
)
def test_a_folder_that_cannot_be_used_is_named(needs: NodeNeeds, state: FolderState, sentence: str) -> None:
    facts = msgspec.structs.replace(found(needs), folders={"the run folder": state})
    broken = misfit(needs, facts)
    assert broken is not None
    assert re.match(rf"learner-1 on gpu7 .*{sentence}", broken)


def test_an_absent_and_a_changed_file_of_the_model_are_named(needs: NodeNeeds) -> None:
    weights = needs.model_path / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] = 1
    weights.write_bytes(content)
    broken = misfit(needs, found(needs))
    assert broken is not None
    assert f"model.safetensors of model.path=mine differs from the driver's ({weights})" in broken
    (needs.model_path / "config.json").unlink()
    broken = misfit(needs, found(needs))
    assert broken is not None
    assert "config.json of model.path=mine is absent there" in broken
    assert "put the same model on every node, or name a folder that all nodes share" in broken


def test_a_role_that_loads_no_model_needs_none(needs: NodeNeeds) -> None:
    (needs.model_path / "config.json").unlink()
    without = replace(needs, model_files={})
    assert misfit(without, found(without)) is None


def test_other_versions_are_named_and_builds_for_other_devices_are_not(needs: NodeNeeds) -> None:
    same, other = {"torch": "2.13.0+cu130"}, {"torch": "2.12.0+cu130"}
    needs = replace(needs, versions={"torch": "2.13.0+cpu", "vllm": None})
    assert misfit(needs, msgspec.structs.replace(found(needs), versions=same)) is None
    broken = misfit(needs, msgspec.structs.replace(found(needs), versions=other))
    assert broken is not None
    assert "has torch 2.12.0+cu130 instead of torch 2.13.0+cpu, which the driver on head has" in broken
    broken = misfit(needs, msgspec.structs.replace(found(needs), versions={"torch": None}))
    assert broken is not None
    assert "has no torch 2.13.0+cpu" in broken


def test_the_fingerprint_of_a_small_file_covers_all_of_it(tmp_path: Path) -> None:
    """16 blocks of 64 KiB: a file of 1 MiB has no byte between two blocks."""
    file = tmp_path / "f"
    before = bytearray(1 << 20)
    file.write_bytes(before)
    known = fingerprints(tmp_path, ["f", "absent"])
    assert list(known) == ["f"]
    for place in (0, 65_535, 65_536, 700_001, (1 << 20) - 1):
        changed = bytearray(before)
        changed[place] = 1
        file.write_bytes(changed)
        assert fingerprints(tmp_path, ["f"]) != known, place


def test_a_new_incarnation_on_a_node_without_the_folder_does_not_start(needs: NodeNeeds, tmp_path: Path) -> None:
    class Elsewhere(RoleProcess):
        def look(self) -> NodeFacts:
            return msgspec.structs.replace(found(needs), folders={"the run folder": "another"})

    log = tmp_path / "logs" / "role.log"
    role = Elsewhere(None, "learner-1", "", log, needs)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not see the run folder"):
        role._open(1)
    assert not log.parent.exists()
