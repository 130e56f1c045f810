"""The one line that says why vLLM did not start."""

from pathlib import Path

from deploy.cluster.engine_errors import last_raised, reason_of

VALIDATION = """1 validation error for ModelConfig
  Value error, Model architectures ['RwkvForCausalLM'] are not supported for now. Supported architectures: dict_keys([LISTED]) [type=value_error, input_value=ArgsKwargs((), {}), input_type=ArgsKwargs]
    For further information visit https://errors.pydantic.dev/2.12/v/value_error
"""  # noqa: E501  as pydantic writes it
LOG = """(MainProcess pid=7) WARNING 11-30 16:39:03 [vllm.py:1703] Enforce eager set
(EngineCore pid=8) ERROR 11-30 16:39:09 [core.py:900] Traceback (most recent call last):
(EngineCore pid=8) ERROR 11-30 16:39:09 [core.py:900]   File "cpu_attn.py", line 3, in __init__
(EngineCore pid=8) ERROR 11-30 16:39:09 [core.py:900] ValueError: Head size 24 is not supported by the CPU backend
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


def test_a_refused_setting_is_its_rule() -> None:
    assert reason_of(ValueError(VALIDATION.replace("LISTED", "'LlamaForCausalLM', " * 100))) == (
        "Model architectures ['RwkvForCausalLM'] are not supported for now"
    )
    assert reason_of(ValueError("max_model_len is too large\nmore")) == "max_model_len is too large"
    assert reason_of(NotImplementedError()) == "NotImplementedError"


def test_the_error_of_the_engines_own_process_is_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "actor-0.log"
    assert last_raised(log) is None
    log.write_text("nothing happened\n")
    assert last_raised(log) is None
    log.write_text(LOG)
    assert last_raised(log) == "ValueError: Head size 24 is not supported by the CPU backend"
