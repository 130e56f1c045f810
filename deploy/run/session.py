"""The resources of every command that samples: a locked folder, Redis, a model, Ray, and the roles' processes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from actors.problems.jsonl import write_rejected
from actors.problems.problem_set import ProblemSet
from broker import failpoints
from broker.connection import Client, connect
from broker.errors import PopeError, UsageError
from broker.keys import Keys
from broker.run_record import describe_run, open_run
from broker.server_health import durability_warnings
from conf.environment import refuse_unsafe_environment
from conf.load import dump, explain_defaults, load, refuse_changes, settings_hash
from conf.plain import plain
from conf.plugins import load_all
from conf.redact import redacted
from conf.schema import RunConfig, Sampling
from deploy.cluster.actor_role import ActorRole
from deploy.cluster.aftermath import Aftermath
from deploy.cluster.disk_space import require_room
from deploy.cluster.fleet import ManagedRole
from deploy.cluster.interrupts import Interrupted, Interrupts
from deploy.cluster.placement import Demand
from deploy.cluster.ray_session import only_this_machine, ray_session, wait_for_calls
from deploy.cluster.reservation import Reservation
from deploy.run import smollm2
from deploy.run.handshake import Handshake
from deploy.run.model_limits import require_fit
from deploy.run.model_prompts import ModelPrompts
from deploy.run.model_source import resolve_model
from deploy.run.progress import stage
from deploy.store.plugin_versions import record_plugins
from deploy.store.run_folder import RunFolder, open_run_folder, undo_start
from deploy.store.run_redis import UrlOf, embedded_urls, external_urls
from deploy.view.screen import Screen

CLOSE_S = 10.0
"""Seconds an engine has to end its processes before they are killed."""


@dataclass(frozen=True)
class Session:
    """Folder, Redis and settings of the command that runs."""

    config: RunConfig
    console: Console
    folder: RunFolder
    client: Client
    url_of: UrlOf
    samplings: Sequence[Sampling]
    """In which ways the engines of the command sample; their longest sequence follows from it."""
    handshake: Handshake
    reservation: Reservation
    """Held while the cluster is open."""
    aftermath: Aftermath = field(default_factory=Aftermath)
    """Entered as long as the session is open."""
    opened_ns: int = field(default_factory=time.time_ns)
    """Unix nanoseconds; names the incarnations of its roles."""
    started: Event = field(default_factory=Event)
    """Set once the roles are up: from then on a failure leaves the folder, for a resume."""

    @property
    def keys(self) -> Keys:
        return Keys(self.config.run.name)

    def log(self, role: str) -> Path:
        return self.folder.logs / f"{role}.log"


@contextmanager
def open_session(
    config: RunConfig, console: Console, problem_set: ProblemSet, samplings: Sequence[Sampling]
) -> Iterator[Session]:
    """Lock the run's folder, start or connect to Redis, claim the run's keys, write rejected problems to the folder.

    A failure before `Session.started` removes the folder again, and an earlier run of that name gets it back.
    Raises ConfigError or UsageError before anything is moved when a plug-in cannot be loaded, the folder is in use or
    Redis cannot be reached.
    """
    refuse_unsafe_environment()
    plugins = load_all(config)
    require_room(RunFolder.of(config).path)
    external = None if config.broker.url is None else external_urls(config)
    if external is not None:
        with closing(_driver(external, config)) as client:
            for warning in durability_warnings(client, external("driver")):
                console.print(Text.assemble(("warning", "yellow"), f": {warning}"))
    # From here on the settings are sent to roles and printed, so the password is removed.
    config = replace(config, broker=replace(config.broker, url=redacted(config.broker.url)))
    with ExitStack() as stack:
        aftermath = stack.enter_context(Aftermath())
        folder, lock, moved = open_run_folder(config)
        stack.callback(lock.release)
        if config.run.resume:
            refuse_changes(load(folder.settings), config)
        started = Event()
        if config.run.resume:
            started.set()
        stack.enter_context(_undone(folder, moved, started, console))
        stack.enter_context(_logged(folder, console))
        console.print(Text.assemble((config.run.name, "bold"), f" in {plain(folder.path)}"))
        if moved:
            console.print(f"  the earlier run of that name is kept in {moved}", highlight=False)
        if reason := explain_defaults(config):
            console.print(f"  {reason}", soft_wrap=True)
        folder.save_bytes(folder.settings, dump(config).encode())
        for warning in record_plugins(folder.path, plugins):
            console.print(Text.assemble(("warning", "yellow"), f": {plain(warning)}"), soft_wrap=True)
        failpoints.choose_folder(folder.path)
        if problem_set.refused:
            write_rejected(folder.rejected, problem_set.refused)
            console.print(f"  {problem_set.explain()} ({folder.rejected})", highlight=False)
        url_of = external or stack.enter_context(embedded_urls(folder, config))
        client = _driver(url_of, config)
        open_run(client, Keys(config.run.name), settings_hash(config), resume=config.run.resume)
        describe_run(client, Keys(config.run.name), {"settings": msgspec.json.encode(config).decode()})
        handshake = stack.enter_context(closing(Handshake(folder, console, aftermath.remove)))
        reservation = Reservation(config.run.name)
        yield Session(
            config, console, folder, client, url_of, samplings, handshake, reservation, aftermath, started=started
        )


@contextmanager
def _undone(folder: RunFolder, moved: Path | None, started: Event, console: Console) -> Iterator[None]:
    """Undo the start if an error or a signal ends it before the roles are up."""
    try:
        yield
    except BaseException:
        if not started.is_set():
            logs = undo_start(folder, moved)
            back = f", and {folder.path} is the earlier run again" if moved else ""
            where = f"; the logs are in {logs}" if logs else ""
            console.print(f"  the start failed and left no run{back}{where}", soft_wrap=True)
        raise


@contextmanager
def _logged(folder: RunFolder, console: Console) -> Iterator[None]:
    """Append what is printed, and the error that ends the command, to the console log of the run."""
    if not isinstance(console, Screen):
        yield
        return
    with console.logged(folder.console):
        try:
            yield
        except PopeError as error:
            console.to_log(f"pope: {error}")
            raise


def _driver(url_of: UrlOf, config: RunConfig) -> Client:
    """The driver's client. Its calls are idempotent, so it repeats them while the server restarts."""
    return connect(
        url_of("driver"),
        client_name="driver",
        timeout_s=config.broker.connect_timeout_s,
        retry_s=config.deploy.dead_after_s,
    )


def resume_if_same(config: RunConfig) -> RunConfig:
    """The settings with `run.resume` set if the run's folder holds work under the same settings, finished or not.

    Sampling is a pure function of its settings, so a repeated command resumes.
    """
    settings = RunFolder.of(config).settings
    same = settings.exists() and settings_hash(load(settings)) == settings_hash(config)
    return replace(config, run=replace(config.run, resume=same))


@contextmanager
def open_cluster(session: Session, *stages: Sequence[Demand]) -> Iterator[tuple[Path, Interrupts]]:
    """Resolve the model, start or join Ray, reserve what the stages need, install signal handlers. Yields the model's
    folder and the handlers. `stages`: what each needs; they run one after another, in any order.

    Raises UsageError when the model or its chat template cannot be used or does not fit the settings, or the cluster is
    too small or cannot reach Redis; NotAdmitted when others hold its resources for too long.
    """
    config, console = session.config, session.console
    with ExitStack() as stack:
        with stage(console, "base model" if config.model.path.startswith("builtin:") else "model"):
            model_path = resolve_model(config.model)
            require_fit(config, model_path, session.samplings)
        if known := smollm2.origin(model_path):
            console.print(Text(f"  {plain(known)}"), soft_wrap=True)
        facts = "; ".join(ModelPrompts.of(config, model_path).facts())
        console.print(Text(f"  prompts: {plain(facts)}"), soft_wrap=True)
        with stage(console, "Ray"):
            stack.enter_context(ray_session(config, stages, session.reservation, partial(_tell, console)))
            if config.broker.url is None and not only_this_machine():
                raise UsageError("the Ray cluster has several machines: broker.url must name a Redis they all reach")
        interrupts = stack.enter_context(Interrupts())
        try:
            yield model_path, interrupts
        except PopeError as error:
            # A signal to the process group ends roles too; the signal is the cause, not their death.
            if not isinstance(error, Interrupted):
                interrupts.raise_if_requested()
            raise


def _tell(console: Console, line: str) -> None:
    console.print(f"  {plain(line)}", highlight=False, soft_wrap=True)


def make_role(session: Session, role_class: type, demand: Demand, model_path: Path, *more: Any) -> ManagedRole:
    """A role under the session's settings, not started yet. `model_path`: the model that its node must have. `more`:
    further arguments of this kind of role."""
    config, log, url = session.config, session.log(demand.role), session.url_of(demand.kind)
    needs = session.handshake.needs(config, demand.role, demand.kind, model_path)
    spawned = partial(session.reservation.spawn, role_class, demand, config, demand.role, url, log, needs, *more)
    return ManagedRole(
        demand.role,
        spawn=spawned,
        log_path=str(log),
        serves_weights=demand.kind == "actor",
        session=session.opened_ns,
    )


def make_actors(session: Session, model_path: Path, demands: Sequence[Demand]) -> list[ManagedRole]:
    """An actor for each demand, not started yet."""
    max_model_tokens = session.config.engine_tokens(session.samplings)
    return [make_role(session, ActorRole, demand, model_path, model_path, max_model_tokens) for demand in demands]


def start_all(handshake: Handshake, roles: Sequence[ManagedRole], timeout_s: float) -> None:
    """Start all roles at the same time and wait until they are up. Raises RoleFailed, or UsageError when a node does
    not have what a role needs."""
    handshake.greet(roles, timeout_s)
    for role in roles:
        role.start()
    for role in roles:
        role.wait_started(timeout_s)


def close_engines(roles: Sequence[ManagedRole]) -> None:
    """Ask the engines to close, wait for `CLOSE_S` seconds, then kill their processes."""
    closing = [role.handle.close.remote() for role in roles if role.handle is not None]
    wait_for_calls(closing, CLOSE_S)

    for role in roles:
        role.kill()
