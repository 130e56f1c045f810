"""The process of a role: it looks at its node, sends its output to its log file, limits its threads.

The driver imports the role modules and must load neither torch nor vLLM: a role imports its libraries inside its
methods, after `open_role` has set the environment variables that they read at import.
"""

import logging
import os
import time
from pathlib import Path

from broker.errors import UsageError
from conf.environment import refuse_unsafe_environment
from conf.plain import PlainFormatter
from conf.schema import RunConfig
from deploy.cluster.node_check import NodeFacts, NodeNeeds, look, misfit

LOOPBACK = "127.0.0.1"
"""The address on which a local Ray listens."""


class RoleProcess:
    """What every kind of role has. Its process does nothing until it is asked to look at its node or to start."""

    def __init__(self, config: RunConfig, name: str, redis_url: str, log_path: Path, needs: NodeNeeds) -> None:
        self._config, self._name, self._redis_url = config, name, redis_url
        self._log_path, self._needs = log_path, needs

    def look(self) -> NodeFacts:
        """What this role finds on its node."""
        import ray

        return look(self._name, self._needs, ray.util.get_node_ip_address())

    def clock(self) -> float:
        """Unix time of this node, seconds."""
        return time.time()

    def _open(self, threads: int) -> None:
        """Begin to start. Raises UsageError when the node does not have what the role needs."""
        if (broken := misfit(self._needs, self.look())) is not None:
            raise UsageError(broken)
        open_role(self._log_path, threads)


def open_role(log_path: Path, threads: int) -> None:
    """Call before a role imports its libraries: sends its output to `log_path`, limits them to `threads` threads."""
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
