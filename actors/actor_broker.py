"""The parts of the broker that an actor uses, and their calls from the event loop."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from broker.connection import Retrying
from broker.history import History
from broker.metrics import Control, Heartbeats, Metrics
from broker.rollout_samples import RolloutSamples
from broker.weights import WeightBoard

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ActorBroker:
    """Access of one incarnation of an actor to the broker."""

    actor: str
    """Name of the role; the same for every incarnation."""
    incarnation: str
    """Owner of the leases; a restarted actor has a new one."""
    retry: Retrying
    board: WeightBoard
    metrics: Metrics
    samples: RolloutSamples
    heartbeats: Heartbeats
    control: Control
    history: History

    async def call(self, operation: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs an idempotent broker operation in a thread, with retries. Raises what `Retrying` raises."""
        return await asyncio.to_thread(self.retry, partial(operation, *args, **kwargs))
