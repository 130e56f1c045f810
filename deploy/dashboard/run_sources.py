"""The sources viewers read a run from: its Redis while that runs, otherwise the data of the embedded server.

An embedded server that has ended is started over its data once, read, and stopped again, so that the folder stays free
for a resume. This holds for a run that ends while it is watched, too, and for one that was replayed. If the run is
resumed later, its server is read. A run that was seen to stop is over, and that its server is gone is no fault.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import msgspec
from rich.console import Console

from broker.acl import run_of
from broker.connection import Client, connect, without_retries
from broker.errors import BrokerUnreachable, UsageError
from broker.keys import Keys
from broker.run_record import run_names
from conf.schema import RunConfig
from deploy.cluster.redis_server import running_url
from deploy.dashboard.run_model import RunModel
from deploy.store.run_folder import RunFolder, is_in_use
from deploy.store.run_redis import find_run, run_redis, serving
from deploy.store.run_view import LiveView, RunView, Snapshot


class Source(ABC):
    """One run to view. `read` may block; `apply` changes the model and does not block."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.model = RunModel(RunConfig())
        self.away: str | None = None
        """Why its Redis does not answer; None while it does, and for a run that is over."""
        self._view: LiveView | None = None
        self._connection = ExitStack()
        self._first = True

    def open(self) -> None:
        """Connect and read everything. Raises UsageError when the run cannot be read."""
        self._attach()
        assert self._view is not None
        self.apply(without_retries(self._view.refresh))

    def read(self) -> Snapshot | None:
        """What is new; None while Redis does not answer, and for a run that is over."""
        try:
            if self._view is None:
                if self.model.over and not self.restarted():
                    return None
                self._attach()
            assert self._view is not None
            return without_retries(self._view.refresh)
        except UsageError as error:
            self.close()
            return self.gone(str(error))

    def gone(self, reason: str) -> Snapshot | None:
        """Its Redis does not answer: the run is over if it was seen to stop, otherwise it is away."""
        self.model.over = self.model.over or self.model.stopped
        self.away = None if self.model.over else reason
        return None

    def apply(self, snapshot: Snapshot) -> None:
        """Add a snapshot to the model. The first one of a connection holds everything and starts a new model."""
        self.away = None
        if self._first:
            self.model, self._first = RunModel(self._config(snapshot)), False
        elif snapshot.balance.issued < self.model.issued:  # the keys were deleted, and a new run began
            self.close()
            return
        self.model.add(snapshot)

    def close(self) -> None:
        """Disconnect; the next `read` connects again."""
        self._view = None
        self._connection.close()

    def restarted(self) -> bool:
        """Whether a run that was over may have a server again, after a resume."""
        return True

    @abstractmethod
    def connect(self) -> AbstractContextManager[tuple[Client, Keys]]:
        """The run's Redis. Raises UsageError when it cannot be reached."""

    def settings(self) -> RunConfig:
        """The settings, where Redis does not hold them."""
        return RunConfig()

    def folder(self) -> RunFolder | None:
        """The run's folder, whose files have reports that Redis no longer keeps; None when it is not accessible."""
        return None

    def _attach(self) -> None:
        client, keys = self._connection.enter_context(self.connect())
        self._view = LiveView(client, keys, self.folder())
        self._first = True

    def _config(self, snapshot: Snapshot) -> RunConfig:
        saved = snapshot.run.get("settings")
        return msgspec.json.decode(saved, type=RunConfig) if saved else self.settings()


class FolderSource(Source):
    """A run by its folder."""

    def __init__(self, path: Path, url: str | None = None) -> None:
        super().__init__(path.resolve().name)
        self._path, self._url = path, url

    def open(self) -> None:
        folder, config = find_run(self._path)
        if config.broker.url is not None or running_url(folder.redis, config.run.name):
            super().open()
            return
        self.apply(self._read_data())

    def gone(self, reason: str) -> Snapshot | None:
        folder, config = find_run(self._path)
        if config.broker.url is not None or is_in_use(folder.path) or self.model.over:
            return super().gone(reason)
        try:
            return self._read_data()
        except UsageError:
            return super().gone(reason)

    def apply(self, snapshot: Snapshot) -> None:
        super().apply(snapshot)
        self.model.over = self.model.over or self._view is None

    def _read_data(self) -> Snapshot:
        """All of a run whose server has ended, from the data of the server and the files of the run."""
        with RunView(self._path, self._url) as run:
            snapshot = run.live().refresh()
        self._first = True
        return snapshot

    def restarted(self) -> bool:
        folder, config = find_run(self._path)
        return config.broker.url is not None or running_url(folder.redis, config.run.name) is not None

    def connect(self) -> AbstractContextManager[tuple[Client, Keys]]:
        folder, config = find_run(self._path)
        if config.broker.url is None and not running_url(folder.redis, config.run.name):
            raise BrokerUnreachable(f"no server runs over {folder.redis}")
        return run_redis(folder, config, self._url)

    def settings(self) -> RunConfig:
        return find_run(self._path)[1]

    def folder(self) -> RunFolder | None:
        return find_run(self._path)[0]


class UrlSource(Source):
    """A run by the Redis that holds it; there may be no folder here."""

    def __init__(self, name: str, url: str) -> None:
        super().__init__(name)
        self._url = url

    def connect(self) -> AbstractContextManager[tuple[Client, Keys]]:
        return serving(self._url, self.name)


def find_sources(paths: list[Path], url: str | None, console: Console) -> list[Source]:
    """Open every run that is named: run folders, folders of runs, or all runs of the Redis at `url`.

    A run of a folder of runs that cannot be read is skipped with a note. Raises UsageError when a named run cannot be
    read or none is left.
    """
    if url is not None and not paths:
        found: list[Source] = [UrlSource(name, url) for name in _run_names(url)]
        named: set[Source] = set()
    else:
        found, named = [], set()
        for path in paths:
            single = (path / "settings.yaml").exists()
            inside = [path] if single else sorted(p.parent for p in path.glob("*/settings.yaml"))
            sources = [FolderSource(folder, url) for folder in inside]
            found += sources
            named |= set(sources) if single else set()
    opened = [source for source in found if _opened(source, source in named, console)]
    if not opened:
        where = ", ".join(map(str, paths)) or "that Redis"
        raise UsageError(f"{where} holds no run: name the folder of a run, such as runs/pope, or a folder of runs")
    return _distinct(opened)


def _run_names(url: str) -> list[str]:
    """The runs that a login may read: only its own for the reader of a run, otherwise all runs of the server."""
    if (name := run_of(url)) is not None:
        return [name]
    with closing(connect(url, client_name="reader")) as client:
        return run_names(client)


def _opened(source: Source, named: bool, console: Console) -> bool:
    try:
        source.open()
    except UsageError as error:
        if named:
            raise
        console.print(f"  skipped: {error}", soft_wrap=True)
        return False
    return True


def _distinct(sources: list[Source]) -> list[Source]:
    """Append a number to names that occur more than once."""
    seen: dict[str, int] = {}
    for source in sources:
        seen[source.name] = seen.get(source.name, 0) + 1
        if (number := seen[source.name]) > 1:
            source.name = f"{source.name}~{number}"
    return sources
