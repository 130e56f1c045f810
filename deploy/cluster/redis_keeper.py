"""Keeps the embedded Redis running: one that died is started again over its data, under the same URL."""

import contextlib
import logging
import threading
from collections.abc import Iterator

from broker.errors import UsageError
from deploy.cluster.redis_server import EmbeddedRedis

log = logging.getLogger(__name__)

LOOK_S = 0.05
LONGEST_PAUSE_S = 5.0
"""Between two tries to start a server that does not come up."""


@contextlib.contextmanager
def kept_running(server: EmbeddedRedis) -> Iterator[None]:
    """While this lasts a server that ended is started again. The server must run already.

    By a thread, because whoever started the run may be doing anything meanwhile: all of it waits for the server.
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
    pause_s, said = LOOK_S, ""
    while not end.wait(pause_s):
        if server.alive():
            pause_s = LOOK_S
            continue
        end_of_it = server.how_it_ended
        try:
            server.start()
        except UsageError as error:
            if str(error) != said:
                log.error("the embedded Redis ended and does not start again: %s; trying on", error)
            pause_s, said = min(2 * pause_s, LONGEST_PAUSE_S), str(error)
        else:
            log.warning("the embedded Redis ended and was started again (it ended with %s)", end_of_it)
            said = ""
