"""A replayed run over the test's Redis, and the dashboard over it."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from broker.connection import Client, connect
from broker.keys import Keys
from conf.load import dump, load
from conf.schema import RunConfig
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.dashboard.broadcast import Hub
from deploy.dashboard.run_model import RunModel
from deploy.dashboard.run_sources import Source, UrlSource
from deploy.dashboard.serve import DashboardServer, listening
from deploy.store.run_folder import RunFolder
from deploy.store.run_view import LiveView
from tests.replay import Recording, Replay, synthetic_recording

HOSTILE = "<img src=x onerror=document.title='owned'> \x1b[2J\x1b]0;owned\x07 [bold red]no markup[/] \u202eback"
NOON_S = 20.0
"""Seconds into the synthetic run, which takes two seconds a step."""


def settings(name: str, *overrides: str) -> RunConfig:
    return load(None, [f"run.name={name}", "run.max_groups=null", "broker.connect_timeout_s=0.5", *overrides])


def replayed(client: Client, name: str, recording: Recording | None = None, until: float | None = None) -> Replay:
    """A synthetic run written to Redis at once."""
    replay = Replay(client, settings(name))
    replay.open()
    replay.run(recording or synthetic_recording(), until=until)
    return replay


def replayed_model(client: Client, keys: Keys, name: str) -> RunModel:
    """The model of a synthetic run that was read from Redis."""
    replayed(client, name)
    model = RunModel(settings(name))
    model.add(LiveView(client, keys).refresh())
    return model


def finished_folder(root: Path, name: str = "replayed") -> Path:
    """The folder of a run that has ended: settings, and the data of its embedded server."""
    config = settings(name)
    folder = RunFolder(root / name)
    folder.path.mkdir(parents=True)
    folder.settings.write_text(dump(config))
    with EmbeddedRedis(folder.redis, run=name, fsync="everysec", max_memory_gib=0.2) as server:
        client = connect(server.url_of("driver"), client_name="test")
        replayed(client, name).control.stop("run.max_steps=12 reached")
        client.close()
    return folder.path


def opened(url: str, *names: str) -> list[Source]:
    sources: list[Source] = [UrlSource(name, url) for name in names]
    for source in sources:
        source.open()
    return sources


@asynccontextmanager
async def asking(app: Starlette, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application itself, without a socket; the hub runs meanwhile."""
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://localhost:8600", headers=headers
        ) as client,
    ):
        yield client


def message(event: bytes) -> dict[str, Any]:
    """The content of one server-sent event."""
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    return json.loads(event[6:])


async def next_message(viewer: AsyncGenerator[bytes], timeout_s: float = 60.0) -> dict[str, Any]:
    """The content of the next server-sent event. Comments, which keep an idle connection open, are skipped."""
    async with asyncio.timeout(timeout_s):
        while (event := await anext(viewer)).startswith(b":"):
            pass
    return message(event)


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.02)


@contextmanager
def served(hub: Hub, token: str | None = None) -> Iterator[str]:
    """The dashboard on a real socket, in a thread; its address."""
    with listening("127.0.0.1", 0) as listener:
        server = DashboardServer(hub, token)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
