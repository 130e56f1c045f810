"""The learner's check of a model, as a role reports it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from broker.errors import UsageError
from conf.load import load
from deploy.cluster.learner_role import LearnerRole
from learner import model_check
from learner.model_check import ModelAgreement, ModelMismatch

FOUND = ModelAgreement(architecture="X", num_tokens=39, max_difference=3.4e-7, rms_difference=1.2e-7, bound=1e-4)


@pytest.fixture
def role() -> LearnerRole:
    """Without the set-up of its process, which redirects its output."""
    role = object.__new__(LearnerRole)
    role._config = load(None, ["actors.temperature=0.8"])
    return role


def test_the_result_is_a_line_with_the_numbers(role: LearnerRole, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def check(path: Path, **options: Any) -> ModelAgreement:
        calls.append(options)
        return FOUND

    monkeypatch.setattr(model_check, "check_model", check)
    result = role.check_model(Path("model"))
    assert result == "model check: learner = model within 3e-07 nats (root mean square 1e-07, bound 0.0001)"
    (call,) = calls
    assert (call["dtype"], call["temperature"], call["device"]) == (torch.float32, 0.8, "cpu")


def test_a_mismatch_is_wrong_input(role: LearnerRole, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(path: Path, **options: Any) -> ModelAgreement:
        raise ModelMismatch("X: the learner's log-probabilities are not those of the model itself")

    monkeypatch.setattr(model_check, "check_model", check)
    with pytest.raises(UsageError, match="not those of the model itself"):
        role.check_model(Path("model"))


def test_a_model_that_does_not_fit_on_the_device_is_checked_in_main_memory(
    role: LearnerRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    role._config = load(None, ["hardware=node8", "model.path=x"])
    devices: list[str] = []

    def check(path: Path, *, device: str, **options: Any) -> ModelAgreement:
        devices.append(device)
        if device == "cuda":
            raise torch.OutOfMemoryError
        return FOUND

    monkeypatch.setattr(model_check, "check_model", check)
    assert "within 3e-07" in role.check_model(Path("model"))
    assert devices == ["cuda", "cpu"]
