"""What every command that samples stands on: a locked folder, Redis, a model, Ray."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from actors.problems.jsonl import write_rejected
from actors.problems.problem_set import ProblemSet
from broker import failpoints
from broker.connection import Client, connect
from broker.errors import UsageError
from broker.keys import Keys
from broker.run_record import describe_run, open_run
from broker.server_health import doubts
from conf.environment import refuse_unsafe_environment
from conf.load import dump, load, refuse_changes, settings_hash
from conf.plain import plain
from conf.redact import redacted
from conf.schema import RunConfig
from deploy.cluster.actor_role import ActorRole
from deploy.cluster.fleet import Member
from deploy.cluster.interrupts import Interrupts
from deploy.cluster.placement import Demand
from deploy.cluster.ray_session import give_time, only_this_machine, ray_session, spawn
from deploy.run.model_source import resolve_model
from deploy.run.progress import stage
from deploy.store.run_folder import RunFolder, open_run_folder
from deploy.store.run_redis import UrlOf, embedded_urls, external_urls

CLOSE_S = 10.0
"""Seconds an engine has to end its own processes before they are killed."""


@dataclass(frozen=True)
class Session:
    """Open for as long as the command lasts."""

    config: RunConfig
    console: Console
    folder: RunFolder
    client: Client
    url_of: UrlOf

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
    refuse_unsafe_environment()
    external = None if config.broker.url is None else external_urls(config)
    if external is not None:
        with closing(_driver(external, config)) as client:
            for doubt in doubts(client, external("driver")):
                console.print(Text.assemble(("warning", "yellow"), f": {doubt}"))
    # From here on the settings travel: to every role, and to whoever prints them.
    config = replace(config, broker=replace(config.broker, url=redacted(config.broker.url)))
    with ExitStack() as stack:
        folder, lock, moved = open_run_folder(config)
        stack.callback(lock.release)
        console.print(Text.assemble((config.run.name, "bold"), f" in {plain(folder.path)}"))
        if moved:
            console.print(f"  the earlier run of that name is kept in {moved}", highlight=False)
        if config.run.resume:
            refuse_changes(load(folder.settings), config)
        folder.settings.write_text(dump(config))
        failpoints.choose_folder(folder.path)
        if found.rejected:
            write_rejected(folder.rejected, found.rejected)
            console.print(f"  {found.explain()} ({folder.rejected})", highlight=False)
        url_of = external or stack.enter_context(embedded_urls(folder, config))
        client = _driver(url_of, config)
        open_run(client, Keys(config.run.name), settings_hash(config), resume=config.run.resume)
        describe_run(client, Keys(config.run.name), {"settings": msgspec.json.encode(config).decode()})
        yield Session(config, console, folder, client, url_of)


def _driver(url_of: UrlOf, config: RunConfig) -> Client:
    """Everything this process asks may be asked again, so all of it waits for a server that restarts."""
    return connect(
        url_of("driver"),
        client_name="driver",
        timeout_s=config.broker.connect_timeout_s,
        patience_s=config.deploy.dead_after_s,
    )


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


def role_member(session: Session, role: type, demand: Demand, *more: Any) -> Member:
    """A role under the session's settings, not started yet; `more` are arguments that only this role takes."""
    log, url = session.log(demand.role), session.url_of(demand.room)
    spawned = partial(spawn, role, demand, session.config, demand.role, url, log, *more)
    return Member(demand.role, spawn=spawned, log_path=str(log), serves_weights=demand.room == "actor")


def actor_members(session: Session, model_path: Path, demands: Sequence[Demand]) -> list[Member]:
    """One member an engine, not started yet."""
    return [role_member(session, ActorRole, demand, model_path) for demand in demands]


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
