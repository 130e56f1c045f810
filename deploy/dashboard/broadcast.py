"""One reader for all viewers: reads every run twice a second and sends the changes to its viewers.

A viewer first gets the complete state, then changes. Both are taken in one turn of the event loop, so that nothing is
missed or sent twice. A viewer that does not keep up is disconnected; its browser reconnects and gets the state again.
"""

import asyncio
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence

import msgspec

from deploy.dashboard import views
from deploy.dashboard.run_sources import Source

TICK_S = 0.5
ENDED_TICK_S = 2.0
"""Time between two attempts to find the server of a run that has ended."""
KEEP_ALIVE_S = 15.0
MAX_QUEUED_MESSAGES = 30
"""Messages that may wait for a viewer before it is disconnected."""
CARD_ROWS = 300

_ENCODER = msgspec.json.Encoder()


class Hub:
    """`async with hub:` follows the runs; `watch` serves one viewer, `cards` the comparison of runs."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = {source.name: source for source in sources}
        for source in sources:
            source.model.change()  # what was read so far is sent with the complete state
        self._viewers: defaultdict[str, set[asyncio.Queue[bytes | None]]] = defaultdict(set)
        self._whole: dict[str, bytes] = {}
        self._cards: tuple[float, bytes] = (0.0, b"")
        self._following: list[asyncio.Task[None]] = []
        self.failure: BaseException | None = None
        """The error that ended the reading of a run; only a bug raises one."""
        self.on_failure: Callable[[], None] = lambda: None

    async def __aenter__(self) -> "Hub":
        self._following = [asyncio.create_task(self._follow(source)) for source in self.sources.values()]
        for task in self._following:
            task.add_done_callback(self._ended)
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        for source in self.sources.values():
            source.close()

    async def watch(self, name: str) -> AsyncGenerator[bytes]:
        """Server-sent events of one run, until the viewer disconnects or falls behind."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_QUEUED_MESSAGES)
        queue.put_nowait(self._complete_state(name))
        self._viewers[name].add(queue)
        try:
            while True:
                try:
                    message = await asyncio.wait_for(queue.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    message = b": still here\n\n"
                if message is None:
                    return
                yield message
        finally:
            self._viewers[name].discard(queue)

    def disconnect_all(self) -> None:
        """Disconnect every viewer."""
        for queue in itertools.chain(*self._viewers.values()):
            _disconnect(queue)

    def cards(self) -> bytes:
        """A summary of every run as JSON, renewed at most once a tick."""
        if time.monotonic() - self._cards[0] > TICK_S:
            cards = {name: source.model.card(CARD_ROWS, source.away) for name, source in self.sources.items()}
            self._cards = time.monotonic(), _ENCODER.encode(cards)
        return self._cards[1]

    async def _follow(self, source: Source) -> None:
        while True:
            started = time.monotonic()
            before = source.model
            snapshot = await asyncio.to_thread(source.read)
            if snapshot is not None:
                source.apply(snapshot)
            if snapshot is not None or source.away:
                self._send(source, replaced=source.model is not before)
            tick_s = ENDED_TICK_S if snapshot is None else TICK_S
            await asyncio.sleep(max(0.05, started + tick_s - time.monotonic()))

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self.failure = self.failure or error
            self.on_failure()

    def _send(self, source: Source, *, replaced: bool) -> None:
        change = source.model.change(source.away)  # also without viewers: it marks what was sent
        self._whole.pop(source.name, None)
        if not self._viewers[source.name]:
            return
        message = self._complete_state(source.name) if replaced else _event(change)
        for queue in self._viewers[source.name]:
            if queue.full():
                _disconnect(queue)
            else:
                queue.put_nowait(message)

    def _complete_state(self, name: str) -> bytes:
        """The complete state, encoded once for all viewers that connect between two ticks."""
        if name not in self._whole:
            source = self.sources[name]
            self._whole[name] = _event(source.model.whole(source.away))
        return self._whole[name]


def _disconnect(queue: asyncio.Queue[bytes | None]) -> None:
    """End a stream; messages that wait for its viewer are dropped."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


def _event(change: views.Change) -> bytes:
    return b"data: " + _ENCODER.encode(change) + b"\n\n"
