"""Sampling stages one after another, with the same engines: each has a progress bar, an archive and keys of its own."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from rich.console import Console

from actors.evaluation.sampling_plan import SamplingPlan
from actors.problems.problem_set import ProblemSet
from broker.records import Problem, RolloutGroup
from conf.schema import RunConfig, Sampling
from deploy.cluster.fleet import ManagedRole
from deploy.cluster.interrupts import Interrupts
from deploy.cluster.placement import actor_demands
from deploy.run.fitting_problems import fitting_problems
from deploy.run.progress import stage
from deploy.run.session import (
    Session,
    close_engines,
    make_actors,
    open_cluster,
    open_session,
    resume_if_same,
    start_all,
)
from deploy.stages.sampling_stage import SamplingStage
from deploy.store.rollout_archive import read_rollouts


class Stages:
    """Runs stages with the engines of a session. Engines are started when a stage needs them."""

    def __init__(
        self, session: Session, engines: Sequence[ManagedRole], interrupts: Interrupts, model_path: Path
    ) -> None:
        self.model_path = model_path
        self.folder = session.folder.path
        self._session = session
        self._engines = engines
        self._interrupts = interrupts
        self.num_rollouts = 0
        """Rollouts of all stages, those before a resume included."""

    def run(
        self,
        title: str,
        name: str,
        plan: SamplingPlan,
        problems: Sequence[Problem],
        *,
        source: str,
        sampling: Sampling | None = None,
    ) -> int:
        """Run one stage until its plan is done. Returns the number of its rollouts.

        `sampling`: None samples as training does: a prefix is useful, and a completion is imitated, if training would
        see it succeed. The archive is named by the stage, the model and the problems, so rollouts of others are never
        reused.
        """
        session = self._session
        sampling = sampling or session.config.actors.sampling
        assert sampling in session.samplings, "the engines may be too short for it"
        archive = self._archive(name, problems)
        with SamplingStage(
            archive.name,
            plan,
            problems,
            config=session.config,
            client=session.client,
            actors=self._engines,
            archive=archive,
            sampling=sampling,
            source=source,
        ) as running:
            if not running.done:
                self._start_engines()
            self._session.started.set()
            with stage(session.console, title, total=plan.num_problems) as advance:
                running.run(self._interrupts, advance)
        for note in running.notes:
            session.console.print(f"    note: {note}", highlight=False, markup=False)
        self.num_rollouts += running.num_rollouts
        return running.num_rollouts

    def fitting(self, problem_set: ProblemSet, *, as_guidance: bool) -> list[Problem]:
        """The problems that can be given to the model; see `fitting_problems`."""
        return fitting_problems(self._session, self.model_path, problem_set, as_guidance=as_guidance)

    def rollouts(self, name: str, problems: Sequence[Problem]) -> Iterator[RolloutGroup]:
        """The groups of a stage that was run, in the order in which they came in."""
        return read_rollouts(self._archive(name, problems))

    def _archive(self, name: str, problems: Sequence[Problem]) -> Path:
        return self._session.folder.sampling / f"{name}-{_digest(self.model_path, problems)}"

    def _start_engines(self) -> None:
        """Start the engines that are not up. A stage that only replays its archive needs none."""
        absent = [engine for engine in self._engines if engine.handle is None]
        if absent:
            with stage(self._session.console, f"{len(absent)} vLLM engine(s)"):
                start_all(self._session.handshake, absent, self._session.config.deploy.start_timeout_s)


@contextmanager
def open_stages(
    config: RunConfig, console: Console, problem_set: ProblemSet, samplings: Sequence[Sampling], *, fresh: bool
) -> Iterator[Stages]:
    """A session with engines alone, for a command that samples in these ways. Unless `fresh`, it resumes the work of a
    command with the same settings."""
    config = config if fresh else resume_if_same(config)
    demands = actor_demands(config)
    with ExitStack() as stack:
        session = stack.enter_context(open_session(config, console, problem_set, samplings))
        model_path, interrupts = stack.enter_context(open_cluster(session, demands))
        engines = make_actors(session, model_path, demands)
        stack.callback(close_engines, engines)
        yield Stages(session, engines, interrupts, model_path)


def _digest(model_path: Path, problems: Sequence[Problem]) -> str:
    """Identifies a model folder and a list of problems: 8 hex digits."""
    digest = hashlib.sha256(msgspec.json.encode(list(problems)))
    for file in sorted(model_path.glob("*.safetensors")):
        status = file.stat()
        digest.update(f"{file}/{status.st_size}/{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:8]
