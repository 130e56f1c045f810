"""The driver's use of Ray: start or join it, be admitted, wait for the calls of roles."""

import logging
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from broker.errors import PopeError, UsageError
from conf.schema import RunConfig
from deploy.cluster.import_path import shadowing_packages
from deploy.cluster.placement import Demand, largest, shortage
from deploy.cluster.reservation import Reservation
from deploy.cluster.secret_environment import without_secrets

RAY_STARTS = 3
"""Number of tries to start a local Ray."""


@contextmanager
def ray_session(
    config: RunConfig, stages: Sequence[Sequence[Demand]], reservation: Reservation, tell: Callable[[str], None]
) -> Iterator[None]:
    """A local Ray, or the cluster that RAY_ADDRESS names, with what these stages need, which run one after another.

    What they need is reserved until the context ends; `tell` gets a line when the run has to wait for it. Raises
    NotAdmitted when that takes too long; UsageError when the cluster is too small, or when a package of the current
    folder shadows one of ours from Ray's workers, which search that folder first.
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
        total = ray.cluster_resources()
        lack = shortage(config, largest(*stages), cpus=total.get("CPU", 0), gpus=total.get("GPU", 0))
        if lack:
            raise UsageError(lack)
        with reservation.held(stages, timeout_s=config.deploy.admission_timeout_s, tell=tell):
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


def _start_local_ray(num_gpus: int | None = None) -> None:
    """Try `RAY_STARTS` times: Ray waits half a minute for its own start, which is too short on a busy machine.

    `num_gpus`: None for those of the machine. Raises PopeError when every try timed out.
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
                num_gpus=num_gpus,
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
