"""What the group ids of a training run stand for, by `problems.sampling` and `guidance.length`."""

from collections.abc import Callable, Sequence

from actors.problems.guidance_lengths import GuidanceLengths
from actors.problems.mixture import Mixture
from actors.problems.problem_order import AdaptiveProblems, ProblemOrder, UniformProblems
from actors.problems.recorded_mixture import RecordedMixture
from broker.assignments import Assignments
from broker.connection import Client
from broker.keys import Keys
from broker.ledger import Ledger
from broker.records import Assignment, Problem
from conf.schema import RunConfig


def training_assignment(
    config: RunConfig, problems: Sequence[Problem], client: Client, keys: Keys
) -> Callable[[int], Assignment]:
    """Group id -> assignment. Raises UsageError when an arm cannot be drawn."""
    mixture = Mixture(problems, config.problems.arms, config.run.seed)
    if not config.records_assignments:
        return mixture.assignment
    recorded, ledger, lengths = Assignments(client, keys), Ledger(client, keys), guidance_lengths(config, problems)
    return RecordedMixture(mixture, recorded, ledger, _problem_order(config, mixture), lengths).assignment


def guidance_lengths(config: RunConfig, problems: Sequence[Problem]) -> GuidanceLengths | None:
    """The choice of guidance during training; None: every problem has one prefix, chosen before."""
    if not config.guidance.by_share:
        return None
    return GuidanceLengths(problems, config.guidance, config.run.seed)


def _problem_order(config: RunConfig, mixture: Mixture) -> ProblemOrder:
    if config.problems.sampling == "uniform":
        return UniformProblems(mixture)
    return AdaptiveProblems(mixture, config.problems, group_size=config.actors.group_size)
