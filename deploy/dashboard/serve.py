"""`pope dashboard`, and the dashboard that a run starts (`deploy.dashboard=true`).

A run starts it as a separate process, so that viewers take no time from the driver; it ends with the run.
"""

import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from rich.console import Console

from broker.errors import PopeError, UsageError
from conf.schema import RunConfig
from deploy.cluster.secret_environment import TOKEN_VARIABLE, URL_VARIABLE, without_secrets
from deploy.dashboard.app import dashboard_app
from deploy.dashboard.broadcast import Hub
from deploy.dashboard.guard import is_loopback
from deploy.dashboard.run_sources import find_sources
from deploy.store.run_folder import RunFolder
from deploy.view.screen import screen

GRACE_S = 2
"""Seconds that unfinished responses get at shutdown."""
STOP_S = 5.0
"""Seconds a dashboard process has to end before it is killed."""


def dashboard(paths: list[Path], url: str | None, host: str, port: int, console: Console) -> None:
    """Serve until Ctrl-C. Raises UsageError when there is nothing to show or the port cannot be used."""
    with listening(host, port) as listener:
        token = token_for(host)
        sources = find_sources(paths, url, console)
        print_address(listener, token, console)
        serve(Hub(sources), listener, token)


def serve(hub: Hub, listener: socket.socket, token: str | None) -> None:
    """Serve on an open socket until a signal. Raises PopeError when the reading of a run failed."""
    DashboardServer(hub, token).run(sockets=[listener])
    if hub.failure is not None:
        raise PopeError(f"the dashboard cannot follow a run: {type(hub.failure).__name__}: {hub.failure}")


class DashboardServer(uvicorn.Server):
    """Ends at a signal, `should_exit`, or an error in the reading of a run, so that no page silently stops updating.
    """

    def __init__(self, hub: Hub, token: str | None) -> None:
        settings = uvicorn.Config(
            dashboard_app(hub, token),
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(settings)
        self._hub = hub
        hub.on_failure = self._stop

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.disconnect_all()  # event streams do not end by themselves
        await super().shutdown(sockets)

    def _stop(self) -> None:
        self.should_exit = True


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket; port 0 takes a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"the dashboard cannot listen on {host}, port {port}: {error.strerror or error}; choose another with "
            "--port or deploy.dashboard_port, 0 for any free one"
        ) from error
    with listener:
        yield listener


def token_for(host: str) -> str | None:
    """The token that viewers must present; None where only this machine can connect and the user set none."""
    given = os.environ.get(TOKEN_VARIABLE)
    return given or (None if is_loopback(host) else secrets.token_urlsafe(24))


def print_address(listener: socket.socket, token: str | None, console: Console) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    query = f"?token={token}" if token else ""
    console.print(f"  dashboard: http://{shown}:{port}/{query}", soft_wrap=True)
    console.file.flush()  # a parent that reads a pipe waits for the address


@contextmanager
def dashboard_process(config: RunConfig, folder: RunFolder, reader_url: str, console: Console) -> Iterator[None]:
    """Runs the dashboard of one run in a separate process, if the settings ask for one, with the reader's login."""
    if not config.deploy.dashboard:
        yield
        return
    host = config.deploy.dashboard_host
    with listening(host, config.deploy.dashboard_port) as listener, (folder.logs / "dashboard.log").open("ab") as out:
        token = token_for(host)
        with without_secrets(config):
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "deploy.dashboard.serve", str(folder.path), str(listener.fileno())],
                env=os.environ | {URL_VARIABLE: reader_url} | ({TOKEN_VARIABLE: token} if token else {}),
                stdin=subprocess.PIPE,  # closed when this process ends for any reason: see `_end_with_parent`
                stdout=out,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        print_address(listener, token, console)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def main(run: str, descriptor: str) -> None:
    """The process that `dashboard_process` starts: serves one run on an inherited socket until standard input ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with socket.socket(fileno=int(descriptor)) as listener:
        sources = find_sources([Path(run)], None, screen())
        serve(Hub(sources), listener, os.environ.get(TOKEN_VARIABLE))


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(*sys.argv[1:])
