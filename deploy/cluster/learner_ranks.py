"""The DeepSpeed ranks of one learner: they start, meet at one address, work and fail together."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from deploy.cluster.fleet import ManagedRole

Address = tuple[str, int]
"""Host and port."""


class LearnerRanks:
    """The ranks of RL, SFT or a replay."""

    def __init__(self, roles: Sequence[ManagedRole]) -> None:
        """`roles`: one for each rank, in the order of the ranks."""
        self.roles = tuple(roles)
        self._master: Address | None = None
        """Rendezvous address of the current incarnation."""

    @property
    def first(self) -> ManagedRole:
        return self.roles[0]

    def choose_address(self, timeout_s: float) -> None:
        """Ask rank 0, which is up, for a free port at which all ranks meet. Raises RoleFailed."""
        self._master = self.first.ask(lambda learner: learner.address.remote(), timeout_s)

    def check_model(self, model_path: Path, timeout_s: float) -> str:
        """Rank 0, which is up and idle, compares the learner's log-probabilities with the model's own.

        Returns the result in a sentence. Raises RoleRefused when they differ, RoleFailed when the rank dies.
        """
        return str(self.first.ask(lambda learner: learner.check_model.remote(model_path), timeout_s))

    def work_on(self, work: Callable[[Any, int, Address, str], Any]) -> None:
        """Give every rank its work, `work(handle, rank, address, incarnation)`; ranks that are up begin at once."""
        for rank, role in enumerate(self.roles):
            role.work_on(partial(self._begin, work, rank))

    def _begin(
        self, work: Callable[[Any, int, Address, str], Any], rank: int, handle: Any, incarnation: str
    ) -> Any:
        assert self._master is not None, "ranks begin after an address was chosen"
        return work(handle, rank, self._master, incarnation)
