"""What every command that samples stands on: a locked folder, Redis, a model, Ray."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
from rich.console import Console

from actors.problems.problem_set import ProblemSet, write_rejected
from broker.connection import Client, connect
from broker.errors import UsageError
from broker.keys import Keys
from broker.run_record import describe_run, open_run
from conf.load import dump, load, settings_hash, without_password
from conf.schema import RunConfig
from deploy.fleet import Member
from deploy.interrupts import Interrupts
from deploy.models import resolve_model
from deploy.placement import Demand
from deploy.progress import stage
from deploy.redis_server import EmbeddedRedis
from deploy.roles import ActorRole, give_time, only_this_machine, ray_session, spawn
from deploy.run_folder import RunFolder, open_run_folder

CLOSE_S = 10.0
"""Seconds an engine has to end its own processes before they are killed."""


@dataclass(frozen=True)
class Session:
    """Open for as long as the command lasts."""

    config: RunConfig
    console: Console
    folder: RunFolder
    client: Client
    redis_url: str

    @property
    def keys(self) -> Keys:
        return Keys(self.config.run.name)

    def log(self, role: str) -> Path:
        return self.folder.logs / f"{role}.log"


@contextmanager
def open_session(config: RunConfig, console: Console, found: ProblemSet) -> Iterator[Session]:
    """Lock the run's folder, start or reach Redis, claim the run's keys.

    Raises UsageError before anything is moved when the folder is in use or Redis cannot be reached.
    """
    if config.broker.url is not None:
        connect(config.broker.url, client_name="driver", timeout_s=config.broker.connect_timeout_s).close()
    with ExitStack() as stack:
        folder, lock, moved = open_run_folder(config)
        stack.callback(lock.release)
        console.print(f"[bold]{config.run.name}[/bold] in {folder.path}", highlight=False)
        if moved:
            console.print(f"  the earlier run of that name is kept in {moved}", highlight=False)
        folder.settings.write_text(dump(config))
        if found.rejected:
            write_rejected(folder.rejected, found.rejected)
            console.print(f"  {found.explain()} ({folder.rejected})", highlight=False)
        redis_url = stack.enter_context(_redis(config, folder))
        client = connect(redis_url, client_name="driver", timeout_s=config.broker.connect_timeout_s)
        open_run(client, Keys(config.run.name), settings_hash(config), resume=config.run.resume)
        settings = msgspec.json.encode(without_password(config)).decode()
        describe_run(client, Keys(config.run.name), {"settings": settings})
        yield Session(config, console, folder, client, redis_url)


def continued(config: RunConfig) -> RunConfig:
    """The settings with `run.resume` set when the folder already holds this very work, finished or not.

    Sampling is a pure function of its settings, so going on is what a repeated command means.
    """
    settings = RunFolder.of(config).settings
    same = settings.exists() and settings_hash(load(settings)) == settings_hash(config)
    return replace(config, run=replace(config.run, resume=same))


@contextmanager
def placed(session: Session, demands: Sequence[Demand]) -> Iterator[tuple[Path, Interrupts]]:
    """The model's folder, and a Ray on which roles of these demands find a place; from here on signals are ours."""
    config, console = session.config, session.console
    with ExitStack() as stack:
        with stage(console, "base model" if config.model.path.startswith("builtin:") else "model"):
            model_path = resolve_model(config.model)
        with stage(console, "Ray"):
            stack.enter_context(ray_session(config, demands))
            if config.broker.url is None and not only_this_machine():
                raise UsageError("the Ray cluster has several machines: broker.url must name a Redis they all reach")
        yield model_path, stack.enter_context(Interrupts())


def actor_members(session: Session, model_path: Path, demands: Sequence[Demand]) -> list[Member]:
    """One member an engine, not started yet."""

    def member(demand: Demand) -> Member:
        log = session.log(demand.role)
        spawned = partial(spawn, ActorRole, demand, session.config, demand.role, session.redis_url, log, model_path)
        return Member(demand.role, spawn=spawned, restartable=True, log_path=str(log))

    return [member(demand) for demand in demands]


def start_all(members: Sequence[Member], timeout_s: float) -> None:
    """Start roles side by side and wait for all. Raises RoleFailed."""
    for member in members:
        member.start()
    for member in members:
        member.wait_started(timeout_s)


def close_engines(members: Sequence[Member]) -> None:
    """End the engines' processes in order, then whatever is left."""
    closing = [member.handle.close.remote() for member in members if member.handle is not None]
    give_time(closing, CLOSE_S)  # an engine that does not close itself is killed below
    for member in members:
        member.kill()


@contextmanager
def _redis(config: RunConfig, folder: RunFolder) -> Iterator[str]:
    """URL of the user's server, or of our own for as long as the command lasts."""
    broker = config.broker
    if broker.url is not None:
        yield broker.url
    else:
        with EmbeddedRedis(folder.redis, fsync=broker.fsync, max_memory_gib=broker.max_memory_gib) as server:
            yield server.url
