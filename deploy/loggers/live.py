"""The loggers of a run while it lasts: a process for each, started and ended by the driver, which never waits for one
while the run trains. A logger that fails or blocks is given up with a warning."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from conf.schema import LoggerName, RunConfig
from deploy.cluster.secret_environment import HUB_TOKENS, without_secrets
from deploy.store.run_folder import RunFolder

CLOSE_S = 30.0
KILL_S = 5.0
"""Seconds after its own deadline until the driver ends a process."""


class LiveLoggers:
    """The processes of `deploy.loggers`."""

    def __init__(self, config: RunConfig, folder: RunFolder, close_s: float = CLOSE_S) -> None:
        """`close_s`: longest time in which a logger writes the rest of a run, seconds."""
        self._config, self._folder, self._close_s = config, folder, close_s
        self._processes: dict[LoggerName, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start a process for each logger; the settings must be in the folder."""
        for name in dict.fromkeys(self._config.deploy.loggers):
            with without_secrets(self._config):
                environment = dict(os.environ)
            if name == "trackio":  # it may write to a space of the hub
                environment |= {key: os.environ[key] for key in HUB_TOKENS if key in os.environ}
            with self._log(name).open("ab") as out:
                arguments = (str(self._folder.path), name, str(self._close_s))
                self._processes[name] = subprocess.Popen(
                    [sys.executable, "-P", "-m", "deploy.loggers.follower", *arguments],
                    env=environment,
                    stdin=subprocess.PIPE,  # closed when this process ends for any reason
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is for the driver
                )

    def warnings(self) -> Iterator[str]:
        """A sentence for each logger that ended since the last call, although the run goes on."""
        for name, process in list(self._processes.items()):
            if process.poll() is not None:
                del self._processes[name]
                yield self._given_up(name)

    def close(self) -> Iterator[str]:
        """End the processes once they have written the rest of the run, in bounded time. Yields a sentence for each
        logger that did not."""
        for process in self._processes.values():
            assert process.stdin is not None
            process.stdin.close()
        deadline = time.monotonic() + self._close_s + KILL_S
        for name, process in self._processes.items():
            try:
                failed = process.wait(max(0.0, deadline - time.monotonic())) != 0
            except subprocess.TimeoutExpired:
                process.kill()
                failed = process.wait() != 0
            if failed:
                yield self._given_up(name)
        self._processes = {}

    def _log(self, name: LoggerName) -> Path:
        return self._folder.logs / f"logger-{name}.log"

    def _given_up(self, name: LoggerName) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        why = lines[-1] if lines else "it ended without a word"
        return (
            f"deploy.loggers: {name} was given up ({why}); `pope export {self._folder.path} --to {name}` writes the "
            f"rest later, and logs/{self._log(name).name} has more"
        )
