"""Child processes inherit none of the driver's secrets."""

import os

import pytest

from conf.load import load
from deploy.cluster.secret_environment import TOKEN_VARIABLE, URL_VARIABLE, without_secrets


def test_a_child_process_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = (URL_VARIABLE, TOKEN_VARIABLE, "HF_TOKEN", "MY_ORACLE_KEY", "MY_MODEL_KEY")
    for name in secrets:
        monkeypatch.setenv(name, "canary")
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    config = load(None, ["oracle.api_key_env=MY_ORACLE_KEY", "evaluation.endpoint_key_env=MY_MODEL_KEY"])
    with without_secrets(config):
        assert not [name for name in secrets if name in os.environ]
    assert [os.environ[name] for name in secrets] == ["canary"] * 5
    assert "HUGGING_FACE_HUB_TOKEN" not in os.environ
