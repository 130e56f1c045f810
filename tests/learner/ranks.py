"""Starts the ranks of a test as processes and waits for them; none outlives the test."""

import importlib
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from tests.forking import FORKING, begin

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_S = 150.0


class Processes:
    """The processes of one group of ranks."""

    def __init__(
        self,
        what: str,
        options: dict[str, Any],
        scratch: Path,
        *,
        world_size: int = 1,
        module: str = "tests.learner.rank_main",
        fails: str = "",
    ) -> None:
        """`PROGRAMS[what](options)` of the module for each rank, with the failpoints `fails`."""
        scratch.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._logs = [scratch / f"{what}-{rank}.log" for rank in range(world_size)]
        self.all = []
        for rank, log in enumerate(self._logs):
            log.write_text("")
            environment = {
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(world_size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
            }
            arguments = (module, what, options, environment, log, fails)
            self.all.append(FORKING.Process(target=_work, args=arguments, daemon=True))
            self.all[-1].start()

    def wait(self) -> list[int]:
        """Exit codes, rank by rank."""
        try:
            return [self._code(rank) for rank in range(len(self.all))]
        finally:
            self.end()

    def _code(self, rank: int) -> int:
        self.all[rank].join(TIMEOUT_S)
        code = self.all[rank].exitcode
        assert code is not None, f"rank {rank} did not end within {TIMEOUT_S} s\n{self.output()}"
        return code

    def succeed(self) -> None:
        codes = self.wait()
        assert codes == [0] * len(codes), f"exit codes {codes}\n{self.output()}"

    def end(self) -> None:
        for process in self.all:
            process.kill()
            process.join()

    def output(self) -> str:
        return "\n".join(log.read_text()[-4000:] for log in self._logs)


def _work(
    module: str, what: str, options: dict[str, Any], environment: Mapping[str, str], log: Path, fails: str
) -> NoReturn:
    """One rank's process. If it does its work, its exit code is 0.

    As in a run, where Ray kills the process, the interpreter is not finalized: a thread of gloo that still holds the
    tensors of the last collective would wait for the interpreter's lock meanwhile and abort the process. DeepSpeed
    keeps its process groups, and so these threads, even after they were destroyed.
    """
    begin(log, fails)
    os.chdir(REPOSITORY)
    os.environ.update(environment)
    importlib.import_module(module).PROGRAMS[what](options)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
