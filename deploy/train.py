"""`pope train`: one run from its settings to its summary, in the order a person would tell it.

prepare   load the problems, lock the run folder, start Redis and Ray, make or find the base model
place     actors, preprocessors, learner ranks as Ray actors
before    measure the hard problems, choose guidance for each
train     supervise until the step budget or the rollout budget is used up
after     measure again, write the summary and the figure
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.problems.catalog import held_out_problems
from actors.problems.problem_set import write_rejected
from broker.connection import Client, connect
from broker.errors import UsageError
from broker.feed import Feed
from broker.keys import Keys
from broker.metrics import Control, Samples
from broker.records import Problem
from broker.run_record import open_run
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from conf.load import dump, settings_hash
from conf.schema import RunConfig
from deploy.fleet import Member
from deploy.interrupts import Interrupts
from deploy.ledger import ledger_saved
from deploy.measure import Measurement, choose_guidance, measure
from deploy.models import resolve_model
from deploy.placement import demands
from deploy.problems import load
from deploy.progress import TrainingView, stage
from deploy.redis_server import EmbeddedRedis
from deploy.roles import (
    ActorRole,
    LearnerRole,
    PreprocessRole,
    give_time,
    only_this_machine,
    ray_session,
    spawn,
    wait_for,
)
from deploy.run_folder import RunFolder, open_run_folder
from deploy.state import RunState
from deploy.summary import draw_figure, print_summary, save_balance, save_streams, summarise
from deploy.watch import Supervisor

CLOSE_S = 10.0
"""Seconds an engine has to end its own processes before they are killed."""


def train(config: RunConfig, console: Console) -> dict[str, Any]:
    """One run. Returns the summary. Raises UsageError for the user's input, PopeError when the run fails."""
    start = time.monotonic()
    # Bad input is refused before anything is made or moved.
    found = load(config)
    problems = found.problems
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
        _open_keys(config, client)
        stack.enter_context(ledger_saved(config, client, folder, console))
        config = _with_weight_folder(config, stack)
        with stage(console, "base model"):
            model_path = resolve_model(config.model)
        if folder.problems.exists():
            problems = folder.load_problems()
        with stage(console, "Ray"):
            stack.enter_context(ray_session(config))
            if config.broker.url is None and not only_this_machine():
                raise UsageError("the Ray cluster has several machines: broker.url must name a Redis they all reach")
        interrupts = stack.enter_context(Interrupts())

        run = _Run(config, console, folder, client, redis_url, model_path, problems)
        stack.callback(run.close)
        run.place()
        run.before()
        reason, train_s = run.train(interrupts)
        if not interrupts.requested:
            run.after()
        return run.finish(reason, wall_s=time.monotonic() - start, train_s=train_s)


class _Run:
    """The parts that the stages of one run share."""

    def __init__(
        self,
        config: RunConfig,
        console: Console,
        folder: RunFolder,
        client: Client,
        redis_url: str,
        model_path: Path,
        problems: list[Problem],
    ) -> None:
        self._config = config
        self._console = console
        self._folder = folder
        self._client = client
        self._redis_url = redis_url
        self._model_path = model_path
        self._problems = problems
        self._measured = Measurement.load(folder.measurements)
        self._actors: list[Member] = []
        self._preprocessors: list[Member] = []
        self._learners: list[Member] = []
        self._master_address: tuple[str, int] | None = None

    def place(self) -> None:
        """Make every role; actors load their engines at the same time."""
        for demand in demands(self._config):
            room = demand.role.split("-")[0]
            getattr(self, f"_add_{room}")(demand)
        members = [*self._actors, *self._preprocessors, *self._learners]
        with stage(self._console, f"{len(self._actors)} vLLM engine(s), {len(self._learners)} learner rank(s)"):
            for member in members:
                member.start()
            for member in members:
                member.wait_started(self._config.deploy.start_timeout_s)

    def before(self) -> None:
        """Measure the base model on the hard problems, then choose the guidance; both only once a run."""
        if not self._folder.problems.exists():
            if not self._measured.counts.get("before", {}).get("unguided"):
                self._measure("before", "unguided", self._hard())
            self._choose_guidance()
            if self._guided_arm():
                self._measure("before", "guided", self._hard())
            self._folder.save_problems(self._problems)

    def train(self, interrupts: Interrupts) -> tuple[str, float]:
        """Let every role work until the run ends. Returns why it ended and how long it took, seconds."""
        start = time.monotonic()
        self._state = RunState(self._config, self._client, self._problems)
        members = [*self._actors, *self._preprocessors, *self._learners]
        for member in members:
            member.begin()
        with TrainingView(self._console) as view, interrupts.graceful(self._state.control):
            reason = Supervisor(self._config, members, self._state, view).run()
        self._state.refresh()
        self._console.print(f"  train [dim]({time.monotonic() - start:.1f} s)[/dim]: {reason}", highlight=False)
        return reason, time.monotonic() - start

    def after(self) -> None:
        """Measure the trained policy; every engine takes over its final weights first."""
        wait_for([actor.catch_up.remote() for actor in self._engines()], timeout_s=self._config.weights.timeout_s)
        self._measure("after", "unguided", self._hard())
        if self._guided_arm():
            self._measure("after", "guided", self._hard())
        if self._config.evaluation.num_held_out:
            count = self._config.evaluation.num_held_out
            unseen = held_out_problems(self._config.problems, self._config.run.seed, count)
            self._measure("held_out", "unguided", unseen)

    def finish(self, reason: str, *, wall_s: float, train_s: float) -> dict[str, Any]:
        """Write everything that outlives the run."""
        summary = summarise(self._config, self._state, self._measured, reason=reason, wall_s=wall_s, train_s=train_s)
        save_streams(self._state.metrics, Samples(self._client, Keys(self._config.run.name)), self._folder)
        save_balance(self._state, self._folder.balance)
        draw_figure(self._config, self._state, self._measured, self._folder)
        self._folder.save_json(self._folder.summary, summary)
        print_summary(self._console, summary, self._folder)
        return summary

    def close(self) -> None:
        """End the engines' processes in order, then whatever is left."""
        closing = [actor.close.remote() for actor in self._engines()]
        give_time(closing, CLOSE_S)  # an engine that does not close itself is killed below
        for member in (*self._actors, *self._preprocessors, *self._learners):
            member.kill()

    def _engines(self) -> list[Any]:
        return [actor.handle for actor in self._actors if actor.handle is not None]

    def _hard(self) -> list[Problem]:
        return [problem for problem in self._problems if problem.bucket == "hard"]

    def _guided_arm(self) -> bool:
        return self._config.problems.arms.get("guided", 0) > 0

    def _choose_guidance(self) -> None:
        if not self._guided_arm():
            return
        without_guidance = [problem for problem in self._hard() if problem.guidance is None]
        with stage(self._console, "choose guidance", total=len(without_guidance)) as advance:
            self._problems, search = choose_guidance(self._engines(), self._problems, self._config, advance)
        rollouts = sum(trial.samples for trial in search.trials)
        without = len(search.fallbacks)
        self._console.print(f"    {rollouts} rollouts, {without} problems without a useful prefix", highlight=False)

    def _measure(self, when: str, arm: str, problems: list[Problem]) -> None:
        samples = self._config.evaluation.samples
        with stage(self._console, f"measure {arm} {when.replace('_', ' ')}", total=len(problems) * samples) as advance:
            counts = measure(self._engines(), problems, arm, samples, advance)
        self._measured.counts.setdefault(when, {})[arm] = counts
        self._measured.save(self._folder.measurements)
        shares = self._measured.pass_at_k(when, arm, self._config.evaluation.k)
        self._console.print("    " + ", ".join(f"{k} {v:.1%}" for k, v in shares.items()), highlight=False)

    def _add_actor(self, demand: Any) -> None:
        arguments = (self._config, demand.role, self._redis_url, self._log(demand.role), self._model_path)
        self._actors.append(
            Member(
                demand.role,
                spawn=lambda: spawn(ActorRole, demand, *arguments),
                begin=lambda actor, incarnation: actor.run.remote(self._problems, incarnation),
                restartable=True,
                log_path=str(self._log(demand.role)),
            )
        )

    def _add_preprocess(self, demand: Any) -> None:
        arguments = (self._config, demand.role, self._redis_url, self._log(demand.role))
        self._preprocessors.append(
            Member(
                demand.role,
                spawn=lambda: spawn(PreprocessRole, demand, *arguments),
                begin=lambda worker, _: worker.run.remote(),
                restartable=True,
                log_path=str(self._log(demand.role)),
            )
        )

    def _add_learner(self, demand: Any) -> None:
        rank = len(self._learners)
        arguments = (self._config, demand.role, self._redis_url, self._log(demand.role))
        self._learners.append(
            Member(
                demand.role,
                spawn=lambda: spawn(LearnerRole, demand, *arguments),
                begin=lambda worker, _: worker.run.remote(rank, self._master(), self._folder.path, self._model_path),
                restartable=False,
                log_path=str(self._log(demand.role)),
            )
        )

    def _master(self) -> tuple[str, int]:
        """Where the ranks meet; asked once, of rank 0."""
        if self._master_address is None:
            asking = self._learners[0].handle.address.remote()
            self._master_address = wait_for([asking], timeout_s=self._config.deploy.start_timeout_s)[0]
        return self._master_address

    def _log(self, role: str) -> Path:
        return self._folder.logs / f"{role}.log"


@contextmanager
def _redis(config: RunConfig, folder: RunFolder) -> Iterator[str]:
    """URL of the user's server, or of our own for as long as the run lasts."""
    broker = config.broker
    if broker.url is not None:
        yield broker.url
    else:
        with EmbeddedRedis(folder.redis, fsync=broker.fsync, max_memory_gib=broker.max_memory_gib) as server:
            yield server.url


def _open_keys(config: RunConfig, client: Client) -> None:
    """Claim the run's keys, and make them ready for its roles."""
    keys = Keys(config.run.name)
    open_run(client, keys, settings_hash(config), resume=config.run.resume)
    Control(client, keys).clear()
    WeightBoard(client, keys).reopen()
    Feed(client, keys).open(config.run.max_groups)
    RolloutStream(client, keys).open()


def _with_weight_folder(config: RunConfig, stack: ExitStack) -> RunConfig:
    """The file backend needs a folder in memory; a private one is removed with the run."""
    if config.weights.backend != "file" or config.weights.folder is not None:
        return config
    parent = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = tempfile.mkdtemp(prefix=f"pope-{config.run.name}-", dir=parent)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return replace(config, weights=replace(config.weights, folder=folder))


if __name__ == "__main__":
    from deploy.cli import main

    sys.argv[1:1] = ["train"]
    main()
