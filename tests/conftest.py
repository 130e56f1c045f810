"""Fixtures: one embedded Redis for the whole session, a new run name for each test."""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

if not any(Path("/dev").glob("nvidia[0-9]*")):  # no GPU: set before torch and DeepSpeed look for one
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from hypothesis import HealthCheck, settings

from broker.connection import connect
from broker.keys import Keys
from deploy.cluster.import_path import put_rooms_first
from deploy.cluster.redis_server import EmbeddedRedis
from tests.runs import end_started

put_rooms_first()  # for the processes that a test starts in another folder

settings.register_profile(
    "pope", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("pope")


FIRST = ("test_sft", "test_run", "test_mine", "test_sweep", "test_roles_killed", "test_two_ranks")
"""Modules of complete runs, longest first: the fast tests after them even out what two workers have left."""
LAST = ("test_engine", "test_dashboard")
"""One for each of two workers. No fast test runs in a process that has had an engine of vLLM."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order: `FIRST`, fast tests, `LAST`."""

    def place(item: pytest.Item) -> int:
        module = item.path.stem if item.path.parent.name in ("flow", "faults") else ""
        if module in LAST:
            return len(FIRST) + 1 + LAST.index(module)
        return FIRST.index(module) if module in FIRST else len(FIRST)

    items.sort(key=place)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m alone`, files without such a test are not imported: that takes longer than all such tests."""
    if config.getoption("markexpr") != "alone" or collection_path.suffix != ".py":
        return None
    return "mark.alone" not in collection_path.read_text() or None


@pytest.fixture(autouse=True)
def _no_run_is_left_behind() -> Iterator[None]:
    """A test that fails ends the runs that it started."""
    yield
    end_started()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The embedded server, with fsync `everysec`; tests of durability start their own with `always`."""
    folder = tmp_path_factory.mktemp("redis")
    server = EmbeddedRedis(folder, fsync="everysec", max_memory_gib=1.0)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    return redis_server.start()  # idempotent; restarts it if a test stopped it


@pytest.fixture
def run_name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def keys(run_name: str) -> Keys:
    return Keys(run_name)


@pytest.fixture
def client(redis_url: str, keys: Keys) -> Iterator[redis.Redis]:
    """A client. The keys of the test are deleted afterwards."""
    connection = connect(redis_url, client_name="test")
    yield connection
    for key in connection.scan_iter(match=keys.prefix + "*", count=1000):
        connection.delete(key)
    connection.close()
