"""The learner's steps as lineages: a life begins at a checkpoint, and what came after that is rolled back. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from broker.history import Line


@dataclass
class _Lineage:
    """The steps that made the present weights."""

    step: int = 0
    trained: dict[tuple[str, int], tuple[int, Line]] = field(default_factory=dict)
    """(server, group id) -> the step that trained it."""

    def roll_back(self, step: int) -> None:
        self.step = step
        self.trained = {group: found for group, found in self.trained.items() if found[0] <= step}


def lineage_violations(lines: Sequence[Line]) -> Iterator[str]:
    """What the lines of the learner, in order, contradict: each lineage trains steps 1, 2, ... and no group twice."""
    lineage = _Lineage()
    server, incarnation = "", ""
    handed: Line | None = None
    batches: dict[tuple[str, int], Line] = {}
    for line in lines:
        event = line.event
        step = event.step or 0
        if event.what != "start" and incarnation not in ("", event.incarnation):
            continue  # a life that was only stopped, and told after its successor had begun what it did before
        match event.what:
            case "start":
                incarnation = event.incarnation
                server, handed = event.server or "", None
                lineage.roll_back(step)
            case "batch":
                if step != lineage.step + 1:
                    yield f"step {step} was begun at step {lineage.step} ({line.place})"
                before = batches.setdefault((server, step), line)
                if before.event.group_ids != event.group_ids:
                    yield f"step {step} was replayed with other groups ({before.place}, then {line.place})"
                handed = line
            case "commit":
                if handed is None or handed.event.step != step:
                    yield f"step {step} was committed without its batch ({line.place})"
                    continue
                lineage.step = step
                for group_id in handed.event.group_ids:
                    first = lineage.trained.setdefault((server, group_id), (step, line))
                    if first[0] != step:
                        yield (
                            f"group {group_id} was trained in step {first[0]} ({first[1].place}) and again in step "
                            f"{step} ({line.place})"
                        )
                handed = None
            case "announce" | "checkpoint":
                told = event.version if event.what == "announce" else step
                if told != lineage.step:
                    yield f"{event.what} of {told} at step {lineage.step} ({line.place})"
