"""The set-up of a role's process: output to its log file, thread limits, loopback on one machine.

The driver imports the role modules and must load neither torch nor vLLM: a role imports its libraries inside its
methods, after `open_role` has set the environment variables that they read at import.
"""

import logging
import os
from pathlib import Path

from conf.environment import refuse_unsafe_environment
from conf.plain import PlainFormatter

LOOPBACK = "127.0.0.1"
"""The address on which a local Ray listens."""


def open_role(log_path: Path, threads: int) -> None:
    """Call first in a role's process: sends its output to `log_path` and limits its libraries to `threads` threads."""
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
    """On a local Ray, make gloo, NCCL and vLLM listen on loopback instead of the address of the hostname."""
    import ray

    if ray.util.get_node_ip_address() == LOOPBACK:
        for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
            os.environ.setdefault(variable, "lo")
        os.environ.setdefault("VLLM_HOST_IP", LOOPBACK)
