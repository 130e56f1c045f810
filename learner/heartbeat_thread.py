"""Heartbeats of a rank, from a thread: a step, a save or a transfer may take longer than the heartbeat interval."""

import threading
from types import TracebackType

from broker.connection import Retrying
from broker.metrics import Heartbeats

RETRY_S = 60.0


class HeartbeatThread:
    """Sends `status` every `every_s` seconds inside a `with` block."""

    def __init__(self, heartbeats: Heartbeats, role: str, every_s: float) -> None:
        self._heartbeats, self._role, self._every_s = heartbeats, role, every_s
        self._retry = Retrying(RETRY_S)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self.status = "starting"

    def __enter__(self) -> "HeartbeatThread":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(self._every_s)

    def _beat(self) -> None:
        while not self._end.is_set():
            self._retry(lambda: self._heartbeats.beat(self._role, self.status))
            self._end.wait(self._every_s)
