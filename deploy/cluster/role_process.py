"""What every role does first in its own process: output to its log file, thread limits, loopback on one machine.

Role modules are imported by the driver, which loads neither torch nor vLLM: a role imports the libraries of its room
inside its methods, after `open_role` has set the environment that they read at import.
"""

import logging
import os
from pathlib import Path

from conf.environment import refuse_unsafe_environment
from conf.plain import PlainFormatter

LOOPBACK = "127.0.0.1"
"""Where everything of a local Ray listens."""


def open_role(log_path: Path, threads: int) -> None:
    """First thing in a role's process: its output goes to its own log, its libraries keep to their threads."""
    refuse_unsafe_environment()
    _stay_on_loopback()
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    lines = logging.StreamHandler()
    lines.setFormatter(PlainFormatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[lines], force=True)


def _stay_on_loopback() -> None:
    """On one machine nobody else needs to reach what gloo, NCCL and vLLM listen on; left alone they go by hostname."""
    import ray

    if ray.util.get_node_ip_address() == LOOPBACK:
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, "lo")
        os.environ.setdefault("VLLM_HOST_IP", LOOPBACK)
