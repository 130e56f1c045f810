"""The driver's use of Ray: start or join it, make the Ray actors of roles, wait for their calls."""

import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from broker import failpoints
from broker.errors import PopeError, UsageError
from conf.schema import RunConfig
from deploy.cluster.import_path import shadowing_packages, worker_environment
from deploy.cluster.placement import Demand, shortage
from deploy.cluster.secret_environment import without_secrets

RAY_STARTS = 3
"""Number of tries to start a local Ray."""


@contextmanager
def ray_session(config: RunConfig, demands: Sequence[Demand]) -> Iterator[None]:
    """A local Ray for these roles, or the cluster that RAY_ADDRESS names.

    Raises UsageError when it is too small, or when a package of the current folder shadows one of ours from Ray's
    workers, which search that folder first.
    """
    if shadowing := shadowing_packages(Path.cwd()):
        raise UsageError(
            f"{shadowing[0]} shadows a package of pope-rl from Ray's workers, which search the current folder first; "
            "start from another folder"
        )
    address = os.environ.get("RAY_ADDRESS")
    # Without it a killed actor leaves vLLM's core and worker processes alive. The raylet reads it at its start.
    os.environ["RAY_process_group_cleanup_enabled"] = "1"
    if not address:
        # Set before the import, because Ray reads these once. The token is never written to disk.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Makes Ray use 127.0.0.1 for this machine and listen there; passed in any other way, that address is replaced
        # by one that other machines reach.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    import ray

    if address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    else:
        with without_secrets(config):
            _start_local_ray()
    try:
        available = ray.cluster_resources()
        lack = shortage(config, demands, cpus=available.get("CPU", 0), gpus=available.get("GPU", 0))
        if lack:
            raise UsageError(lack)
        yield
    finally:
        ray.shutdown()


def private_folder() -> Path:
    """Where a local Ray keeps sockets and logs: $RAY_TMPDIR, or a folder that only this user may enter.

    Ray makes its own folders writable for everybody. Raises UsageError when the folder is another user's.
    """
    if given := os.environ.get("RAY_TMPDIR"):
        return Path(given)
    folder = Path(tempfile.gettempdir()) / f"pope-ray-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UsageError(f"{folder} belongs to somebody else; set RAY_TMPDIR to a folder of your own")
    folder.chmod(0o700)
    return folder


def _start_local_ray() -> None:
    """Try `RAY_STARTS` times: Ray waits half a minute for its own start, which is too short on a busy machine.

    Raises PopeError when every try timed out.
    """
    import ray

    for _ in range(RAY_STARTS):
        try:
            ray.init(
                address="local",  # without it Ray would join the cluster that was last started on this machine
                include_dashboard=False,
                _temp_dir=str(private_folder()),
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # Ray raises no type of its own for a time-out
            ray.shutdown()
            if "timed out during startup" not in str(error):
                raise
        else:
            return
    raise PopeError(f"Ray did not start in {RAY_STARTS} tries; the machine is busy: end other processes")


def only_this_machine() -> bool:
    """Whether the cluster is this machine alone, so that every role can use a unix socket."""
    import ray

    return sum(bool(node["Alive"]) for node in ray.nodes()) == 1


def wait_for_calls(calls: Sequence[Any], timeout_s: float) -> None:
    """Wait until the calls have returned or raised, for at most `timeout_s`."""
    import ray

    if calls:
        ray.wait(list(calls), num_returns=len(calls), timeout=timeout_s)


def spawn(role: type, demand: Demand, *arguments: Any) -> Any:
    """A Ray actor of that role. It ends with this process, and Ray never restarts it."""
    import ray

    return (
        ray.remote(role)
        .options(
            name=None,
            num_cpus=demand.num_cpus,
            num_gpus=demand.num_gpus,
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": failpoints.environment() | worker_environment()},
        )
        .remote(*arguments)
    )
