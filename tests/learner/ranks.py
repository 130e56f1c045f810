"""Starts the ranks of a test as processes and waits for them; none outlives the test."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

REPOSITORY = Path(__file__).parents[2]
TIMEOUT_S = 150.0


def end_process() -> NoReturn:
    """Ends this rank's process, which has done its work, with exit code 0. Every rank's main program ends with it.

    As in a run, where Ray kills the process, the interpreter is not finalized: a thread of gloo that still holds the
    tensors of the last collective would wait for the interpreter's lock meanwhile and abort the process. DeepSpeed
    keeps its process groups, and so these threads, even after they were destroyed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


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
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """`python -m MODULE WHAT OPTIONS.json` for each rank, with `variables` in its environment."""
        scratch.mkdir(parents=True, exist_ok=True)
        file = scratch / f"{what}.json"
        file.write_text(json.dumps(options))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._logs = [scratch / f"{what}-{rank}.log" for rank in range(world_size)]
        self.all = []
        for rank, log in enumerate(self._logs):
            environment = {
                **os.environ,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(world_size),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OMP_NUM_THREADS": "1",
                **(variables or {}),
            }
            with log.open("w") as output:
                self.all.append(
                    subprocess.Popen(
                        [sys.executable, "-m", module, what, str(file)],
                        cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT,
                    )
                )

    def wait(self) -> list[int]:
        """Exit codes, rank by rank."""
        try:
            return [process.wait(TIMEOUT_S) for process in self.all]
        finally:
            self.end()

    def succeed(self) -> None:
        codes = self.wait()
        assert codes == [0] * len(codes), f"exit codes {codes}\n{self.output()}"

    def end(self) -> None:
        for process in self.all:
            if process.poll() is None:
                process.kill()
                process.wait()

    def output(self) -> str:
        return "\n".join(log.read_text()[-4000:] for log in self._logs)
