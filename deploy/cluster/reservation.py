"""Admission to a Ray cluster: a run reserves all it needs at once, waits while other jobs hold it, and places roles.

A placement group is Ray's reservation. Ray creates it whole or not at all, and removes it when the driver ends.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from broker import failpoints
from broker.errors import PopeError, UsageError
from deploy.cluster.gang import Bundle, Gang, gang
from deploy.cluster.import_path import worker_environment
from deploy.cluster.placement import Demand

POLL_S = 0.5
"""Time between two looks at a reservation that was not granted yet, seconds."""
GRANT_S = 5.0
"""Time in which even a busy machine grants what is free, seconds; only then a run says that it waits."""


class NotAdmitted(PopeError):
    """Other jobs held the resources until the deadline."""


class Reservation:
    """The resources of one command on the Ray cluster it uses, while `held` lasts."""

    def __init__(self, run: str) -> None:
        """`run`: name of the run, by which other jobs see who holds the resources."""
        self._run = run
        self._group: Any = None
        self._gang = Gang((), {})

    @contextmanager
    def held(
        self, stages: Sequence[Sequence[Demand]], *, timeout_s: float, tell: Callable[[str], None]
    ) -> Iterator[None]:
        """Reserve what these stages need, which run one after another, until the context ends.

        `tell` gets a line whenever what the run waits for changes. Raises NotAdmitted after `timeout_s`, and UsageError
        when no node has what one role needs.
        """
        from ray.util import placement_group, remove_placement_group

        largest = _largest_node()
        require_nodes(stages, largest)
        self._gang = gang(stages, largest)
        bundles = [_resources(bundle) for bundle in self._gang.bundles]
        self._group = placement_group(bundles, strategy="PACK", name=self._run)
        try:
            self._wait(timeout_s, tell)
            yield
        finally:
            remove_placement_group(self._group)
            self._group = None

    def spawn(self, role: type, demand: Demand, *arguments: Any) -> Any:
        """A Ray actor of that role, in its bundle. It ends with this process, and Ray never restarts it."""
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        assert self._group is not None, "a role is spawned while its resources are held"
        return (
            ray.remote(role)
            .options(
                name=None,
                num_cpus=demand.num_cpus,
                num_gpus=demand.num_gpus,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    placement_group=self._group, placement_group_bundle_index=self._gang.index[demand.role]
                ),
                runtime_env={"env_vars": failpoints.environment() | worker_environment()},
            )
            .remote(*arguments)
        )

    def _wait(self, timeout_s: float, tell: Callable[[str], None]) -> None:
        import ray
        from ray.util import placement_group_table

        deadline, told = time.monotonic() + timeout_s, ""
        granted = self._group.wait(min(GRANT_S, timeout_s))
        while not granted and not self._group.wait(POLL_S):
            groups = placement_group_table()
            if groups.pop(self._group.id.hex(), {}).get("state") == "CREATED":  # since the wait
                return
            line = waiting_line(self._gang.total, ray.cluster_resources(), ray.available_resources(), groups)
            if line != told:
                tell(line)
                told = line
            if time.monotonic() > deadline:
                raise NotAdmitted(
                    f"{line}; not granted after deploy.admission_timeout_s={timeout_s:g} s: wait for the other runs or "
                    "end one, raise that setting, or lower actors.num_actors or learner.num_ranks"
                )


def require_nodes(stages: Sequence[Sequence[Demand]], largest: Bundle) -> None:
    """Raises UsageError when a role needs more than the largest node has, so that it would wait for ever."""
    for demand in (demand for stage in stages for demand in stage):
        if not largest.holds(demand):
            raise UsageError(
                f"{demand.role} needs {demand.num_gpus:g} GPUs on one node, and the largest node has "
                f"{largest.gpus:g}: lower actors.tensor_parallel"
            )


def waiting_line(
    needed: Bundle, total: Mapping[str, float], free: Mapping[str, float], groups: Mapping[str, Mapping[str, Any]]
) -> str:
    """What a run waits for, and who holds it: `waiting for 4 GPUs: 0 of 4 are free; held by first (4)`.

    `total`, `free`: resources of the cluster. `groups`: Ray's table of placement groups, without the run's own.
    """
    kind, amount = ("GPU", needed.gpus) if needed.gpus else ("CPU", needed.cpus)
    held: dict[str, float] = {}
    for group in groups.values():
        if group["state"] == "CREATED":
            name = group["name"] or "a group without a name"
            held[name] = held.get(name, 0.0) + sum(bundle.get(kind, 0.0) for bundle in group["bundles"].values())
    others = total.get(kind, 0.0) - free.get(kind, 0.0) - sum(held.values())
    if others > 1e-3:
        held["other jobs"] = others
    holders = ", ".join(f"{name} ({count:g})" for name, count in held.items() if count)
    return (
        f"waiting for {amount:g} {kind}s: {free.get(kind, 0.0):g} of {total.get(kind, 0.0):g} are free"
        + (f"; held by {holders}" if holders else "")
    )


def _largest_node() -> Bundle:
    """The resources of the living node with most GPUs, then CPUs."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    sizes = [Bundle(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in nodes]
    return max(sizes, key=lambda size: (size.gpus, size.cpus))


def _resources(bundle: Bundle) -> dict[str, float]:
    return {name: amount for name, amount in (("CPU", bundle.cpus), ("GPU", bundle.gpus)) if amount}
