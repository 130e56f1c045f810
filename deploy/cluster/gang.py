"""What a run reserves of a cluster: bundles of resources, each on one node, and the bundle of every role. Pure.

All bundles are reserved together or none is, so that two runs never wait for each other with half of what they need.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deploy.cluster.placement import SHARED_CPU, Demand

_PARTS = 4
"""Digits behind the point in which Ray counts resources."""


@dataclass(frozen=True)
class Bundle:
    """Resources on one node."""

    cpus: float
    gpus: float

    def holds(self, demand: Demand) -> bool:
        return self.cpus >= demand.num_cpus and self.gpus >= demand.num_gpus

    def holds_all(self, other: "Bundle") -> bool:
        return self.cpus >= other.cpus and self.gpus >= other.gpus

    def plus(self, demand: Demand) -> "Bundle":
        return Bundle(round(self.cpus + demand.num_cpus, _PARTS), round(self.gpus + demand.num_gpus, _PARTS))

    def minus(self, demand: Demand) -> "Bundle":
        return Bundle(round(self.cpus - demand.num_cpus, _PARTS), round(self.gpus - demand.num_gpus, _PARTS))


EMPTY = Bundle(0.0, 0.0)


@dataclass(frozen=True)
class Gang:
    """The bundles of a run, and where each of its roles belongs."""

    bundles: tuple[Bundle, ...]
    index: Mapping[str, int]
    """Role -> number of its bundle, the same in all stages."""

    @property
    def total(self) -> Bundle:
        cpus, gpus = sum(bundle.cpus for bundle in self.bundles), sum(bundle.gpus for bundle in self.bundles)
        return Bundle(round(cpus, _PARTS), round(gpus, _PARTS))


def gang(stages: Sequence[Sequence[Demand]], largest: Bundle) -> Gang:
    """Bundles for stages that run one after another; a stage adds some only if those of earlier stages do not suffice.

    `largest`: resources of the largest node. The ranks of the learner share a bundle, and with it a node, if one node
    holds them; so do roles that ask for a part of a GPU, and with it the GPU. Every other role has its own bundle.
    """
    bundles: list[Bundle] = []
    index: dict[str, int] = {}
    for stage in stages:
        unused = list(bundles)
        for demand in stage:
            if demand.role in index:
                unused[index[demand.role]] = unused[index[demand.role]].minus(demand)
        left = []
        for demand in stage:
            if demand.role not in index:
                place = next((i for i, bundle in enumerate(unused) if bundle.holds(demand)), None)
                if place is None:
                    left.append(demand)
                else:
                    index[demand.role] = place
                    unused[place] = unused[place].minus(demand)
        for group in _groups(left, largest):
            index.update((demand.role, len(bundles)) for demand in group)
            bundles.append(_with_cpus(_sum(group)))
    return Gang(tuple(bundles), index)


def _groups(demands: Sequence[Demand], largest: Bundle) -> list[list[Demand]]:
    """The demands by bundle, the largest bundle first: Ray places bundles in this order."""
    together = [demand for demand in demands if demand.kind == "learner" or 0 < demand.num_gpus < 1]
    if not together or not largest.holds_all(_sum(together)):
        return [[demand] for demand in demands]
    return [together, *([demand] for demand in demands if demand not in together)]


def _with_cpus(bundle: Bundle) -> Bundle:
    """With CPUs for one role a GPU: ranks of a later stage may take the place of an engine on several GPUs."""
    return Bundle(max(bundle.cpus, round(SHARED_CPU * bundle.gpus, _PARTS)), bundle.gpus)


def _sum(demands: Sequence[Demand]) -> Bundle:
    total = EMPTY
    for demand in demands:
        total = total.plus(demand)
    return total
