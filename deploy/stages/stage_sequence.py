"""Sampling stages one behind the other, with the same engines: a bar, an archive and keys for each."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
from rich.console import Console

from actors.evaluation.sampling_plan import SamplingPlan
from actors.problems.problem_set import ProblemSet
from broker.records import Problem, RolloutGroup
from conf.schema import RunConfig
from deploy.cluster.fleet import Member
from deploy.cluster.interrupts import Interrupts
from deploy.cluster.placement import actor_demands
from deploy.run.progress import stage
from deploy.run.session import Session, actor_members, close_engines, continued, open_session, placed, start_all
from deploy.stages.sampling_stage import SamplingStage
from deploy.store.rollout_archive import read_rollouts


class Stages:
    """The engines of a session, and what they have sampled so far. Engines that are not up are started when needed."""

    def __init__(self, session: Session, engines: Sequence[Member], interrupts: Interrupts, model_path: Path) -> None:
        self.model_path = model_path
        self.folder = session.folder.path
        self._session = session
        self._engines = engines
        self._interrupts = interrupts
        self.num_rollouts = 0
        """Of all stages, those before a resume included."""

    def run(self, title: str, name: str, plan: SamplingPlan, problems: Sequence[Problem], *, source: str) -> int:
        """One stage, until its plan is done. Returns how many rollouts it took.

        Its archive is named by what it is about: what was sampled of other weights or problems is never taken over.
        """
        session = self._session
        archive = self._archive(name, problems)
        with SamplingStage(
            archive.name,
            plan,
            problems,
            config=session.config,
            client=session.client,
            actors=self._engines,
            archive=archive,
            source=source,
        ) as sampling:
            if not sampling.done:
                self._start_engines()
            with stage(session.console, title, total=plan.num_problems) as advance:
                sampling.run(self._interrupts, advance)
        for note in sampling.notes:
            session.console.print(f"    note: {note}", highlight=False, markup=False)
        self.num_rollouts += sampling.num_rollouts
        return sampling.num_rollouts

    def rollouts(self, name: str, problems: Sequence[Problem]) -> Iterator[RolloutGroup]:
        """The groups of a stage that was run, in the order they came in."""
        return read_rollouts(self._archive(name, problems))

    def _archive(self, name: str, problems: Sequence[Problem]) -> Path:
        return self._session.folder.sampling / f"{name}-{_digest(self.model_path, problems)}"

    def _start_engines(self) -> None:
        """Loading a model takes long: a stage that only replays its archive does without."""
        absent = [engine for engine in self._engines if engine.handle is None]
        if absent:
            with stage(self._session.console, f"{len(absent)} vLLM engine(s)"):
                start_all(absent, self._session.config.deploy.start_timeout_s)


@contextmanager
def engines_only(config: RunConfig, console: Console, found: ProblemSet, *, fresh: bool) -> Iterator[Stages]:
    """Engines and nothing else, for a command that samples. Unless `fresh`, an equal command's work is continued."""
    config = config if fresh else continued(config)
    demands = actor_demands(config)
    with ExitStack() as stack:
        session = stack.enter_context(open_session(config, console, found))
        model_path, interrupts = stack.enter_context(placed(session, demands))
        engines = actor_members(session, model_path, demands)
        stack.callback(close_engines, engines)
        yield Stages(session, engines, interrupts, model_path)


def _digest(model_path: Path, problems: Sequence[Problem]) -> str:
    """Tells one model folder and one list of problems from others: 8 hex digits."""
    found = hashlib.sha256(msgspec.json.encode(list(problems)))
    for file in sorted(model_path.glob("*.safetensors")):
        status = file.stat()
        found.update(f"{file}/{status.st_size}/{status.st_mtime_ns}".encode())
    return found.hexdigest()[:8]
