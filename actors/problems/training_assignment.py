"""What the group ids of a training run stand for, by `problems.sampling`."""

from collections.abc import Callable, Sequence

from actors.problems.adaptive_mixture import AdaptiveMixture
from actors.problems.mixture import Mixture
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
    if config.problems.sampling == "uniform":
        return mixture.assignment
    recorded, ledger = Assignments(client, keys), Ledger(client, keys)
    adaptive = AdaptiveMixture(mixture, recorded, ledger, config.problems, group_size=config.actors.group_size)
    return adaptive.assignment
