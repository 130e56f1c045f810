"""Admission: what a run that waits says, and two runs that need the same GPUs of a real Ray."""

import json
import os
import re
import subprocess
import sys

import pytest

from broker.errors import UsageError
from deploy.cluster.gang import Bundle
from deploy.cluster.placement import Demand
from deploy.cluster.reservation import require_nodes, waiting_line
from tests.runs import REPOSITORY


def test_a_run_that_waits_says_for_what_and_who_holds_it() -> None:
    groups = {
        "a": {"name": "first", "state": "CREATED", "bundles": {0: {"CPU": 0.1, "GPU": 2.0}, 1: {"GPU": 1.0}}},
        "b": {"name": "second", "state": "PENDING", "bundles": {0: {"GPU": 4.0}}},
        "c": {"name": "ended", "state": "REMOVED", "bundles": {0: {"GPU": 4.0}}},
    }
    line = waiting_line(Bundle(0.4, 4), {"GPU": 8.0}, {"GPU": 1.0}, groups)
    assert line == "waiting for 4 GPUs: 1 of 8 are free; held by first (3), other jobs (4)"
    assert waiting_line(Bundle(0.4, 0), {"CPU": 2.0}, {}, {}) == (
        "waiting for 0.4 CPUs: 0 of 2 are free; held by other jobs (2)"
    )


def test_a_role_that_no_node_holds_is_refused() -> None:
    with pytest.raises(UsageError, match=r"actor-0 needs 2 GPUs on one node.* has 1: lower actors\.tensor_parallel"):
        require_nodes([[Demand("actor-0", 0.1, 2)]], Bundle(8, 1))


def test_a_second_run_waits_until_the_first_gives_the_gpus_back() -> None:
    variables = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    environment = {**os.environ, **variables, "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("RAY_ADDRESS", None)
    result = subprocess.run(
        [sys.executable, "-m", "tests.deploy.cluster.two_runs"],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout.splitlines()[-1])
    assert sorted(gpu for gpus in seen["gpus"] for gpu in gpus) == ["0", "1", "2", "3"], "a GPU for each role"
    assert re.search(r"held by first \(4\); not granted after deploy\.admission_timeout_s=0 s", seen["refused"])
    assert seen["told"][0] == "waiting for 4 GPUs: 0 of 4 are free; held by first (4)"
    assert seen["signalled"] == "interrupted by SIGTERM", "Ray keeps the exception of a signal's handler to itself"
    assert not seen["admitted beside the first"]
    assert seen["admitted after the first"]
