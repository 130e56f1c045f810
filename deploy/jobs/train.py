"""`pope train`: one run from its settings to its summary, in the order a person would tell it.

prepare   load the problems, lock the run folder, start Redis and Ray, make or find the base model
warm      only with sft.data: measure and choose with the base model, fine-tune it, go on with the result
place     actors, preprocessors, learner ranks as Ray actors
before    measure the hard problems, choose guidance for each
train     supervise until the step budget or the rollout budget is used up
after     measure again, write the summary and the figure
"""

import os
import shutil
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from actors.evaluation.evaluation_plan import EvaluationPlan, without_solutions
from actors.problems.catalog import held_out_problems
from broker.feed import Feed
from broker.metrics import Control
from broker.records import Problem
from broker.ring import Ring
from broker.rollout_samples import Samples
from broker.run_record import describe_run
from broker.server_health import RestartWatch
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from conf.plain import plain
from conf.schema import RunConfig
from deploy.cluster.fleet import Domain, Member, failure_domains
from deploy.cluster.interrupts import Interrupts
from deploy.cluster.learner_role import LearnerRole
from deploy.cluster.placement import Demand, Room, actor_demands, demands, largest
from deploy.cluster.preprocess_role import PreprocessRole
from deploy.cluster.ray_session import address
from deploy.dashboard.serve import beside
from deploy.jobs.problems import load, oracle_warning
from deploy.run.progress import TrainingView, stage
from deploy.run.session import Session, actor_members, close_engines, open_session, placed, role_member, start_all
from deploy.run.supervisor import Supervisor
from deploy.stages.demonstration_data import check_data, load_examples
from deploy.stages.fine_tuning import FineTuning, sft_demands
from deploy.stages.guidance_search import choose_guidance
from deploy.stages.scheduled_evaluations import Evaluations
from deploy.stages.stage_sequence import Stages
from deploy.store.alerts import DriverAlerts
from deploy.store.ledger_file import ledger_saved
from deploy.store.measurements import Measurement, read_evaluations
from deploy.store.run_state import RunState
from deploy.store.starvation_file import starvation_saved
from deploy.view.summary import draw_figure, print_summary, save_balance, save_samples, summarise


def train(config: RunConfig, console: Console) -> dict[str, Any]:
    """One run. Returns the summary. Raises UsageError for the user's input, PopeError when the run fails."""
    start = time.monotonic()
    found = load(config)  # bad input is refused before anything is made or moved
    if config.actors.oracle_member:
        console.print(Text.assemble(("warning", "yellow"), f": {oracle_warning(found.problems)}"))
    check_data(config, found.problems)
    with ExitStack() as stack:
        session = stack.enter_context(open_session(config, console, found))
        _open_keys(session)
        stack.enter_context(ledger_saved(config, session.client, session.folder, console))
        stack.enter_context(starvation_saved(config, session.client, session.folder, console))
        stack.enter_context(beside(session.config, session.folder, session.url_of("reader"), console))
        session = replace(session, config=_with_weight_folder(session.config, stack))
        problems = session.folder.load_problems() if session.folder.problems.exists() else found.problems
        model_path, interrupts = stack.enter_context(placed(session, largest(demands(config), sft_demands(config))))

        run = _Run(session, interrupts, model_path, problems)
        stack.callback(run.close)
        run.warm_start()
        run.place()
        run.before()
        reason, train_s = run.train()
        if not interrupts.requested:
            run.after()
        return run.finish(reason, wall_s=time.monotonic() - start, train_s=train_s)


class _Run:
    """The parts that the stages of one run share."""

    def __init__(self, session: Session, interrupts: Interrupts, model_path: Path, problems: list[Problem]) -> None:
        self._session = session
        self._config = session.config
        self._console = session.console
        self._folder = session.folder
        self._client = session.client
        self._interrupts = interrupts
        self._model_path = model_path
        self._problems = problems
        self._measured = Measurement.load(self._folder.measurements)
        self._actors: list[Member] = []
        self._preprocessors: list[Member] = []
        self._learners: list[Member] = []
        self._master: tuple[str, int] | None = None
        """Where the ranks of the present incarnation meet."""

    def warm_start(self) -> None:
        """SFT before RL, if the settings want it: from here on the run's model is the fine-tuned one.

        Measurements and guidance are the base model's, as in a run without SFT.
        """
        if not self._config.sft.wanted:
            return
        tuning = FineTuning(self._session, self._interrupts, self._model_path)
        if not tuning.finished:
            self._actors = actor_members(self._session, self._model_path, actor_demands(self._config))
            self._measure_base()
            stages = self._stages()
            examples = load_examples(self._config, self._problems, stages, self._folder, self._console)
            close_engines(self._actors)
            tuning.run(examples)
        self._model_path = tuning.model

    def place(self) -> None:
        """Make every role; actors load their engines at the same time."""
        by_room: dict[Room, list[Demand]] = {"actor": [], "preprocess": [], "learner": []}
        for demand in demands(self._config):
            by_room[demand.room].append(demand)
        self._actors = actor_members(self._session, self._model_path, by_room["actor"])
        self._preprocessors = [
            role_member(self._session, PreprocessRole, demand, self._model_path) for demand in by_room["preprocess"]
        ]
        self._learners = [role_member(self._session, LearnerRole, demand) for demand in by_room["learner"]]
        with stage(self._console, f"{len(self._actors)} vLLM engine(s), {len(self._learners)} learner rank(s)"):
            start_all(self._members(), self._config.deploy.start_timeout_s)

    def before(self) -> None:
        """Measure what RL starts from on the hard problems; every measurement only once a run."""
        self._measure_base()
        if self._config.sft.wanted:
            for arm in ("unguided", "guided") if self._guided_arm() else ("unguided",):
                if arm not in self._measured.results.get("sft", {}):
                    self._measure("sft", arm, self._hard())

    def _measure_base(self) -> None:
        """Measure the base model, then choose the guidance."""
        if not self._folder.problems.exists():
            self._measure("before", "unguided", self._hard())
            if self._config.uses_guidance:
                self._choose_guidance()
            if self._guided_arm():
                self._measure("before", "guided", self._hard())
            self._folder.save_problems(self._problems)

    def train(self) -> tuple[str, float]:
        """Let every role work until the run ends. Returns why it ended and how long it took, seconds."""
        start = time.monotonic()
        describe_run(self._client, self._session.keys, {"num_hard": len(self._hard())})
        self._state = RunState(self._config, self._client, self._problems, self._folder)
        for actor in self._actors:
            actor.work_on(lambda handle, incarnation: handle.run.remote(self._problems, incarnation, self._folder.path))
        for preprocessor in self._preprocessors:
            preprocessor.work_on(lambda handle, incarnation: handle.run.remote(incarnation, self._folder.path))
        self._admit_learner()
        for rank, learner in enumerate(self._learners):
            learner.work_on(partial(self._learn, rank))
        evaluations = Evaluations(self._config, self._client, self._hard(), self._folder)
        alerts = DriverAlerts(self._config)
        restarts = RestartWatch(self._client, self._session.url_of("driver"))
        with evaluations, TrainingView(self._console) as view:

            def look(state: RunState) -> None:
                view(state)
                evaluations.follow(state.step)
                for text in restarts.news():
                    self._tell(text)
                for notice in alerts.notices(state.fresh.learner, state.fresh.groups):
                    self._tell(notice.text, alert=notice.about, raised=notice.raised)

            with self._interrupts.graceful(self._state.control):
                board = WeightBoard(self._client, self._session.keys)
                reason = Supervisor(self._config, self._domains(), self._state, board, look).run()
        self._state.refresh()
        took = (f"({time.monotonic() - start:.1f} s)", "dim")
        self._console.print(Text.assemble("  train ", took, f": {plain(reason)}"))
        return reason, time.monotonic() - start

    def after(self) -> None:
        """Measure the trained policy; every engine takes over the final weights first."""
        self._measure("after", "unguided", self._hard())
        if self._guided_arm():
            self._measure("after", "guided", self._hard())
        if self._config.evaluation.num_held_out:
            count = self._config.evaluation.num_held_out
            unseen = held_out_problems(self._config.problems, self._config.run.seed, count)
            self._measure("held_out", "unguided", unseen)

    def finish(self, reason: str, *, wall_s: float, train_s: float) -> dict[str, Any]:
        """Write everything that outlives the run."""
        config, state, measured = self._config, self._state, self._measured
        state.refresh()  # what was reported since the last look belongs into the files
        evaluations = read_evaluations(self._folder.evaluations)
        times = {"wall_s": wall_s, "train_s": train_s}
        summary = summarise(config, state, measured, evaluations, self._folder, reason=reason, **times)
        if config.sft.wanted:
            summary["sft"] = msgspec.json.decode((self._folder.sft / "summary.json").read_bytes())
        save_samples(Samples(self._client, self._session.keys), self._folder.samples)
        save_balance(state, self._folder.balance)
        draw_figure(config, state, measured, evaluations, self._folder)
        self._folder.save_json(self._folder.summary, summary)
        print_summary(self._console, summary, self._folder)
        return summary

    def close(self) -> None:
        """End every role."""
        close_engines(self._actors)
        for member in (*self._preprocessors, *self._learners):
            member.kill()

    def _tell(self, text: str, *, alert: str | None = None, raised: bool | None = None) -> None:
        """Print a note, add it to the summary and report it; `alert` and `raised` as in `DriverNote`."""
        self._state.note(text, alert=alert, raised=raised)
        self._console.print(f"  note: {text}", highlight=False, markup=False)

    def _stages(self) -> Stages:
        return Stages(self._session, self._actors, self._interrupts, self._model_path)

    def _members(self) -> list[Member]:
        return [*self._actors, *self._preprocessors, *self._learners]

    def _domains(self) -> list[Domain]:
        return failure_domains(
            self._config,
            actors=self._actors,
            preprocessors=self._preprocessors,
            learners=self._learners,
            admit=self._admit_learner,
            reopen=WeightBoard(self._client, self._session.keys).reopen,
        )

    def _hard(self) -> list[Problem]:
        return [problem for problem in self._problems if problem.bucket == "hard"]

    def _guided_arm(self) -> bool:
        return self._config.problems.arms.get("guided", 0) > 0

    def _choose_guidance(self) -> None:
        self._problems, search = choose_guidance(self._stages(), self._config, self._problems)
        if chosen := search.chosen():
            rollouts = sum(trial.samples for trial in search.trials())
            without = sum(choice.index is None for choice in chosen)
            self._console.print(f"    {rollouts} rollouts, {without} problems without a useful prefix", highlight=False)

    def _measure(self, when: str, arm: str, problems: list[Problem]) -> None:
        seen = problems if arm == "guided" else without_solutions(problems)
        plan = EvaluationPlan(seen, arm, self._config.evaluation.samples, self._config.run.seed)
        title = f"measure {arm} {when.replace('_', ' ')}"
        # A run that is resumed to train further measures other weights: those have a stage of their own.
        name = f"{when}-{arm}" if when in ("before", "sft") else f"{when}-{self._state.step}-{arm}"
        self._stages().run(title, name, plan, seen, source="hard")
        self._measured.results.setdefault(when, {})[arm] = plan.results()
        self._measured.save(self._folder.measurements)
        shares = self._measured.pass_at_k(when, arm, self._config.evaluation.k)
        self._console.print("    " + ", ".join(f"{k} {v:.1%}" for k, v in shares.items()), highlight=False)
        if plan.failed:
            reasons = ", ".join(f"{n} {reason}" for reason, n in Counter(plan.failed.values()).items())
            self._console.print(f"    not measured: {reasons}", highlight=False)

    def _learn(self, rank: int, handle: Any, incarnation: str) -> Any:
        return handle.run.remote(rank, self._master, self._folder.path, self._model_path, incarnation)

    def _admit_learner(self) -> None:
        """Admit a new incarnation of the learner: earlier ones may write no more, and the ranks meet at a free port."""
        first = self._learners[0]
        self._master = first.ask(address, self._config.deploy.dead_after_s)
        ring = Ring(self._client, self._session.keys, self._config.broker.ring.capacity)
        ring.admit(first.incarnation)


def _open_keys(session: Session) -> None:
    """Make the run's keys ready for its roles."""
    client, keys = session.client, session.keys
    Control(client, keys).clear()
    WeightBoard(client, keys).reopen()
    Feed(client, keys).open(session.config.run.max_groups)
    RolloutStream(client, keys).open()


def _with_weight_folder(config: RunConfig, stack: ExitStack) -> RunConfig:
    """The file backend needs a folder in memory; a private one is removed with the run."""
    if config.weights.backend != "file" or config.weights.folder is not None:
        return config
    parent = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = tempfile.mkdtemp(prefix=f"pope-{config.run.name}-", dir=parent)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    return replace(config, weights=replace(config.weights, folder=folder))
