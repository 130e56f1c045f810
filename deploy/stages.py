"""Sampling stages one behind the other, with the same engines: a bar, an archive and keys for each."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rich.console import Console

from actors.problems.problem_set import ProblemSet
from actors.sampling import SamplingPlan
from broker.records import Problem
from conf.schema import RunConfig
from deploy.fleet import Member
from deploy.interrupts import Interrupts
from deploy.placement import actor_demands
from deploy.progress import stage
from deploy.sampling import SamplingStage
from deploy.session import Session, actor_members, close_engines, continued, open_session, placed, start_all


class Stages:
    """The engines of a session, and what they have sampled so far."""

    def __init__(self, session: Session, engines: Sequence[Member], interrupts: Interrupts) -> None:
        self.folder = session.folder.path
        self._session = session
        self._engines = engines
        self._interrupts = interrupts
        self.num_rollouts = 0
        """Of all stages, those before a resume included."""
        self.notes: list[str] = []
        """What happened to the engines."""

    def run(self, title: str, name: str, plan: SamplingPlan, problems: Sequence[Problem], *, source: str) -> int:
        """One stage, until its plan is done. Returns how many rollouts it took."""
        session = self._session
        with stage(session.console, title, total=plan.num_problems) as advance:
            sampling = SamplingStage(
                name,
                plan,
                problems,
                config=session.config,
                client=session.client,
                actors=self._engines,
                archive=session.folder.sampling / name,
                source=source,
                advance=advance,
            )
            sampling.run(self._interrupts)
        for note in sampling.notes:
            session.console.print(f"    note: {note}", highlight=False, markup=False)
        self.notes += sampling.notes
        self.num_rollouts += sampling.num_rollouts
        return sampling.num_rollouts


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
        with stage(console, f"{len(engines)} vLLM engine(s)"):
            start_all(engines, config.deploy.start_timeout_s)
        yield Stages(session, engines, interrupts)
