"""What remains when the driver is killed (SIGKILL) is removed by a small process that outlives it."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from deploy.cluster.aftermath_process import VARIABLE, end_marked

_SCRIPT = Path(__file__).with_name("aftermath_process.py")


class Aftermath:
    """While entered, every process that this one starts inherits a mark. At the end of the context, or when this
    process is killed, all that are left are killed: Ray's, roles whose raylet has died, engines. Linux only."""

    def __enter__(self) -> "Aftermath":
        self._mark = f"{os.getpid()}.{time.time_ns()}"
        self._before = os.environ.get(VARIABLE)
        # Not marked, and in a session of its own, so that it outlives this process. It sees its input end, because no
        # other child inherits the pipe.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SCRIPT), self._mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={},
            start_new_session=True,
        )
        os.environ[VARIABLE] = self._mark
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = self._before
        end_marked(self._mark)
        self._send("done")
        self._process.communicate()

    def remove(self, folder: str) -> None:
        """The folder is removed if this process is killed."""
        self._send(folder)

    def _send(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # somebody killed it, and this process is well
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
