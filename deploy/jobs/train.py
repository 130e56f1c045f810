"""`pope train`: one run, from its settings to its summary.

prepare   load the problems, lock the run folder, start Redis and Ray, resolve the base model
warm up   only with sft.data: measure and choose guidance with the base model, then fine-tune it
start     actors, preprocessors and learner ranks as Ray actors; the learner checks the model before anything is sampled
before    measure the hard problems (`evaluation.before`), choose guidance for those that have none
train     supervise until the step budget or the rollout budget is used up
after     measure again, write the summary and the figure
"""

import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from actors.longest_guidance import with_longest_prefixes
from actors.problems.catalog import held_out_problems
from actors.problems.mixture import check_guided_arm, has_prefix
from actors.problems.prefix_search import count_kinds, describe_kinds
from actors.problems.problem_set import ProblemSet
from broker.feed import Feed
from broker.metrics import Control
from broker.records import Problem
from broker.rollout_samples import RolloutSamples
from broker.run_record import describe_run
from broker.streams import RolloutStream
from broker.weights import WeightBoard
from conf.plain import plain
from conf.schema import RunConfig
from deploy.cluster.interrupts import Interrupts
from deploy.cluster.placement import actor_demands, demands
from deploy.cluster.raylet_watch import RayletWatch
from deploy.dashboard.serve import dashboard_process
from deploy.jobs.problems import load_run_problems, oracle_warning
from deploy.jobs.training_monitor import TrainingMonitor
from deploy.loggers.live import LiveLoggers
from deploy.loggers.writers import require_libraries
from deploy.run.fitting_problems import fitting_problems
from deploy.run.model_check import check_model_alone
from deploy.run.model_prompts import ModelPrompts
from deploy.run.progress import stage
from deploy.run.session import Session, close_engines, make_actors, open_cluster, open_session
from deploy.run.supervisor import Supervisor
from deploy.run.training_roles import TrainingRoles
from deploy.stages.demonstration_data import check_demonstration_data, load_examples
from deploy.stages.fine_tuning import FineTuning, sft_demands
from deploy.stages.guidance_search import check_search, choose_guidance
from deploy.stages.policy_measurements import PolicyMeasurements, measured_problems
from deploy.stages.stage_sequence import Stages
from deploy.store.ledger_file import ledger_saved
from deploy.store.measurements import read_evaluations
from deploy.store.provenance import save_provenance
from deploy.store.run_state import RunState
from deploy.store.starvation_file import starvation_saved
from deploy.view.summary import draw_figure, print_summary, save_balance, save_samples, summarise


def train(config: RunConfig, console: Console) -> dict[str, Any]:
    """Run everything and return the summary.

    Raises UsageError for invalid input, PopeError when the run fails.
    """
    start = time.monotonic()
    require_libraries(config.deploy.loggers)
    problem_set = load_run_problems(config)  # bad input is refused before anything is made or moved
    if config.actors.oracle_member:
        console.print(Text.assemble(("warning", "yellow"), f": {oracle_warning(problem_set.problems)}"))
    check_demonstration_data(config.sft, problem_set.problems, config.problems.source)
    check_search(config, problem_set.problems)
    with ExitStack() as stack:
        session = stack.enter_context(open_session(config, console, problem_set, config.run_samplings))
        _open_keys(session)
        stack.enter_context(ledger_saved(config, session.client, session.folder, console))
        stack.enter_context(starvation_saved(config, session.client, session.folder, console))
        stack.enter_context(dashboard_process(session.config, session.folder, session.url_of("reader"), console))
        session = replace(session, config=_with_weight_folder(session, stack))
        stages = (demands(config), sft_demands(config))
        model_path, interrupts = stack.enter_context(open_cluster(session, *stages))
        problems = _load_problems(session, model_path, problem_set)

        run = _TrainingRun(session, interrupts, model_path, problems)
        stack.callback(run.close)
        run.warm_up()
        run.start_roles()
        run.measure_before()
        reason, train_s = run.train()
        if not interrupts.requested:
            run.measure_after()
        return run.write_results(reason, wall_s=time.monotonic() - start, train_s=train_s)


class _TrainingRun:
    """The stages of one run, in the order in which `train` calls them."""

    def __init__(self, session: Session, interrupts: Interrupts, model_path: Path, problems: list[Problem]) -> None:
        config = session.config
        self._session = session
        self._config = config
        self._console = session.console
        self._folder = session.folder
        self._interrupts = interrupts
        self._model_path = model_path
        self._problems = problems
        self._measurements = PolicyMeasurements(config, session.folder, session.console)
        self._roles: TrainingRoles | None = None
        self._loggers = LiveLoggers(config, session.folder)

    def warm_up(self) -> None:
        """Fine-tune the base model if the settings ask for SFT: RL then starts from the result.

        The measurements "before" and the guidance are the base model's, as in a run without SFT.
        """
        if not self._config.sft.enabled:
            return
        tuning = FineTuning(self._session, self._interrupts, self._model_path)
        if not tuning.finished:
            check_model_alone(self._session, self._model_path)
            engines = make_actors(self._session, self._model_path, actor_demands(self._config))
            stages = Stages(self._session, engines, self._interrupts, self._model_path)
            try:
                self._measure_base(stages)
                examples = load_examples(self._config, self._problems, stages, self._folder, self._console)
            finally:
                close_engines(engines)
            tuning.run(examples)
        self._model_path = tuning.model

    def start_roles(self) -> None:
        self._roles = roles = TrainingRoles(self._session, self._model_path)
        engines, ranks = len(roles.actors), len(roles.learner.roles)
        with stage(self._console, f"{engines} vLLM engine(s), {ranks} learner rank(s)"):
            checked = roles.start()
        self._console.print(f"    {checked}", highlight=False)

    def measure_before(self) -> None:
        """Measure the model that RL starts from on the hard problems."""
        self._measure_base(self._stages())
        if self._config.sft.enabled and self._config.evaluation.before:
            for arm in ("unguided", "guided") if self._has_guided_arm else ("unguided",):
                if not self._measurements.has("sft", arm):
                    self._measurements.measure(self._stages(), "sft", arm, self._measured(arm))

    def train(self) -> tuple[str, float]:
        """Train until the run ends. Returns why it ended and how long it took, seconds."""
        start = time.monotonic()
        config, client, keys = self._config, self._session.client, self._session.keys
        assert self._roles is not None
        self._session.started.set()
        describe_run(client, keys, {"num_hard": len(self._hard)})
        self._state = RunState(config, client, self._problems, self._folder)
        board = WeightBoard(client, keys)
        if config.run.resume:
            board.await_learner()
        self._roles.work(self._problems)
        self._loggers.start()
        monitoring = TrainingMonitor(self._session, self._measured("unguided"), self._loggers)
        with monitoring as monitor, self._interrupts.graceful(self._state.control):
            supervisor = Supervisor(
                config.deploy,
                self._roles.domains(),
                self._state,
                board,
                max_attempts=config.actors.max_attempts,
                batch_samples=config.learner.batch_samples,
                show=monitor,
                require_host=RayletWatch(),
            )
            reason = supervisor.run()
        self._state.refresh()
        took = (f"({time.monotonic() - start:.1f} s)", "dim")
        self._console.print(Text.assemble("  train ", took, f": {plain(reason)}"))
        return reason, time.monotonic() - start

    def measure_after(self) -> None:
        """Measure the trained policy; every engine takes over the final weights first."""
        step, stages = self._state.step, self._stages()
        self._measurements.measure(stages, "after", "unguided", self._measured("unguided"), step=step)
        if self._has_guided_arm:
            self._measurements.measure(stages, "after", "guided", self._measured("guided"), step=step)
        if count := self._config.evaluation.num_held_out:
            unseen = held_out_problems(self._config.problems, self._config.run.seed, count)
            self._measurements.measure(stages, "held_out", "unguided", unseen, step=step)

    def write_results(self, reason: str, *, wall_s: float, train_s: float) -> dict[str, Any]:
        """Write the summary, the figure and the other files that outlive the run. Returns the summary."""
        config, state, taken = self._config, self._state, self._measurements.taken
        state.refresh()  # reports that came in since the last refresh belong in the files
        evaluations = read_evaluations(self._folder.evaluations)
        times = {"wall_s": wall_s, "train_s": train_s}
        summary = summarise(config, state, taken, evaluations, self._folder, reason=reason, **times)
        if config.sft.enabled:
            summary["sft"] = msgspec.json.decode((self._folder.sft / "summary.json").read_bytes())
        save_samples(RolloutSamples(self._session.client, self._session.keys), self._folder.samples)
        save_balance(state, self._folder.balance)
        draw_figure(config, state, taken, evaluations, self._folder)
        self._folder.save_json(self._folder.summary, summary)
        print_summary(self._console, summary, self._folder)
        return summary

    def close(self) -> None:
        """End the processes of all roles, then those of the loggers: all reports are in the files."""
        if self._roles is not None:
            self._roles.close()
        for text in self._loggers.close():
            self._console.print(Text.assemble(("warning", "yellow"), f": {plain(text)}"), soft_wrap=True)

    @property
    def _hard(self) -> list[Problem]:
        return [problem for problem in self._problems if problem.bucket == "hard"]

    def _measured(self, arm: str) -> list[Problem]:
        """The hard problems that are measured; guided, those whose guided prompt differs from the unguided one."""
        limit, seed = self._config.evaluation.max_problems, self._config.run.seed
        measured = measured_problems(self._hard, limit, seed)
        return [problem for problem in measured if arm == "unguided" or has_prefix(problem)]

    @property
    def _has_guided_arm(self) -> bool:
        return self._config.problems.arms.get("guided", 0) > 0

    def _stages(self) -> Stages:
        """Sampling stages with the engines of the run."""
        assert self._roles is not None
        return Stages(self._session, self._roles.actors, self._interrupts, self._model_path)

    def _measure_base(self, stages: Stages) -> None:
        """Measure the base model, unless it shall not be, and choose the guidance, once per run."""
        if self._folder.problems.exists():
            return
        before = self._config.evaluation.before
        if before:
            self._measurements.measure(stages, "before", "unguided", self._measured("unguided"))
        if self._config.uses_guidance:
            self._choose_guidance(stages)
        if before and self._has_guided_arm:
            self._measurements.measure(stages, "before", "guided", self._measured("guided"))
        self._folder.save_problems(self._problems)
        save_provenance(self._folder.path, self._config, "train")

    def _choose_guidance(self, stages: Stages) -> None:
        settings, seed = self._config.guidance, self._config.run.seed
        if settings.by_share:
            prompts = ModelPrompts.of(self._config, self._model_path).builder
            self._problems = with_longest_prefixes(
                self._problems, prompts, settings, self._config.actors.max_prompt_tokens
            )
            kinds, rollouts = count_kinds(self._hard, (), by_share=True), 0
        else:
            self._problems, search = choose_guidance(stages, self._problems, settings, seed)
            kinds, rollouts = count_kinds(self._hard, search.chosen()), sum(t.samples for t in search.trials())
        self._folder.save_json(self._folder.guidance, kinds)
        self._console.print(f"    {rollouts} rollouts, {describe_kinds(kinds)}", highlight=False, soft_wrap=True)
        check_guided_arm(self._problems, self._config.problems.arms)


def _load_problems(session: Session, model_path: Path, problem_set: ProblemSet) -> list[Problem]:
    """The problems with which the run began, or at its beginning those of the set that can be given to the model."""
    if session.folder.problems.exists():
        return session.folder.load_problems()
    config = session.config
    return fitting_problems(
        session, model_path, problem_set,
        as_guidance=config.uses_guidance, as_response=config.actors.oracle_member,
    )  # fmt: skip


def _open_keys(session: Session) -> None:
    """Initialise the run's Redis keys for its roles."""
    client, keys = session.client, session.keys
    Control(client, keys).clear()
    WeightBoard(client, keys).reopen()
    Feed(client, keys).open(session.config.run.max_groups)
    RolloutStream(client, keys).open()


def _with_weight_folder(session: Session, stack: ExitStack) -> RunConfig:
    """Give the file backend a private folder, in memory where the system has one; it is removed with the run."""
    config = session.config
    if config.weights.backend != "file" or config.weights.folder is not None:
        return config
    parent = "/dev/shm" if os.path.isdir("/dev/shm") else None
    folder = tempfile.mkdtemp(prefix=f"pope-{config.run.name}-", dir=parent)
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    session.aftermath.remove(folder)
    return replace(config, weights=replace(config.weights, folder=folder))
