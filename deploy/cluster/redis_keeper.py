"""Keeps the embedded Redis running: a server that ended is restarted over its data, under the same URL."""

import contextlib
import logging
import threading
from collections.abc import Iterator

from broker.errors import UsageError
from deploy.cluster.disk_space import is_full
from deploy.cluster.redis_server import EmbeddedRedis

log = logging.getLogger(__name__)

CHECK_EVERY_S = 0.05
LONGEST_PAUSE_S = 5.0
"""Longest pause between two attempts to restart the server."""


@contextlib.contextmanager
def keep_running(server: EmbeddedRedis) -> Iterator[None]:
    """Restart the server whenever it ends, for as long as this lasts. The server must run already.

    A thread does it, because the main thread may itself be waiting for the server.
    """
    end = threading.Event()
    keeper = threading.Thread(target=_keep, args=(server, end), name="redis-keeper", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        end.set()
        keeper.join()


def _keep(server: EmbeddedRedis, end: threading.Event) -> None:
    pause_s, last_error = CHECK_EVERY_S, ""
    while not end.wait(pause_s):
        if server.alive():
            pause_s = CHECK_EVERY_S
            continue
        exit_summary = server.exit_summary
        error = _restart(server)
        if error is None:
            log.warning("the embedded Redis ended and was restarted (exit: %s)", exit_summary)
            last_error = ""
            continue
        if error != last_error:
            log.error("the embedded Redis ended and cannot be restarted: %s; retrying", error)
        pause_s, last_error = min(2 * pause_s, LONGEST_PAUSE_S), error


def _restart(server: EmbeddedRedis) -> str | None:
    """Why the server cannot be restarted now; None when it runs again."""
    try:
        if is_full(server.folder):  # it would start, and end at its next write
            return f"the disk of {server.folder} is full; free some space, and the run continues"
        server.start()
    except (UsageError, OSError) as error:
        return str(error)
    return None
