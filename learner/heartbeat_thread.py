"""Heartbeats of a rank, on a thread of its own: a step, a save or a transfer may take longer than one heartbeat."""

import threading
from types import TracebackType

from broker.connection import with_retries
from broker.metrics import Heartbeats

PATIENCE_S = 60.0


class Pulse:
    """`with Pulse(...) as pulse:` beats every `every_s` seconds and says `pulse.status`."""

    def __init__(self, heartbeats: Heartbeats, role: str, every_s: float) -> None:
        self._heartbeats, self._role, self._every_s = heartbeats, role, every_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
        self.status = "starting"

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(self._every_s)

    def _beat(self) -> None:
        while not self._end.is_set():
            with_retries(lambda: self._heartbeats.beat(self._role, self.status), deadline_s=PATIENCE_S)
            self._end.wait(self._every_s)
