"""The nodes of a run, as the handshake found them: a line for one node, a table for several."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from conf.plain import plain
from deploy.cluster.node_check import NodeFacts

GIB = 2**30


def node_line(facts: Sequence[NodeFacts]) -> str:
    """One node, in a line. `facts`: of its roles."""
    first = facts[0]
    return (
        f"{plain(first.node)}: {_number(len(facts), 'role')}, {_number(first.cores, 'core')}, {devices(first)}; free: "
        f"memory {_gib(first.memory_bytes)}, /dev/shm {_gib(first.shm_bytes)}, disk of the run {_gib(first.disk_bytes)}"
    )


def node_table(facts: Sequence[NodeFacts], clock_offsets_s: Mapping[str, float]) -> Table:
    """A row for each node. `clock_offsets_s`: role -> its clock minus the driver's, seconds."""
    table = Table(title="nodes", title_justify="left")
    for name in ("node", "roles", "GPUs", "cores", "memory", "/dev/shm", "disk", "clock"):
        table.add_column(name, justify="left" if name in ("node", "roles", "GPUs") else "right")
    for roles in by_node(facts).values():
        first = roles[0]
        table.add_row(
            plain(first.node),
            ", ".join(role.role for role in roles),
            devices(first),
            str(first.cores),
            _gib(first.memory_bytes),
            _gib(first.shm_bytes),
            _gib(first.disk_bytes),
            f"{clock_offsets_s[first.role]:+.3f} s",
        )
    return table


def by_node(facts: Sequence[NodeFacts]) -> dict[str, list[NodeFacts]]:
    """Node -> its roles, in their order."""
    nodes: dict[str, list[NodeFacts]] = {}
    for role in facts:
        nodes.setdefault(role.node, []).append(role)
    return nodes


def devices(facts: NodeFacts) -> str:
    """`4 x NVIDIA H100 80GB HBM3`"""
    models = dict.fromkeys(facts.devices)
    return ", ".join(f"{facts.devices.count(model)} x {plain(model)}" for model in models) or "no GPU"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _gib(size: int) -> str:
    return f"{size / GIB:,.1f} GiB"
