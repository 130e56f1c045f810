"""The learner's steps by lineage: an incarnation starts at a checkpoint, and later steps are rolled back. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from broker.history import Line


@dataclass
class _Lineage:
    """The steps that produced the current weights."""

    step: int = 0
    trained: dict[tuple[str, int], tuple[int, Line]] = field(default_factory=dict)
    """(server, group id) -> (step that trained it, its commit)."""

    def roll_back(self, step: int) -> None:
        self.step = step
        self.trained = {group: commit for group, commit in self.trained.items() if commit[0] <= step}


def lineage_violations(lines: Sequence[Line], *, forced_lag: int = 0) -> Iterator[str]:
    """Violations in the learner's lines, in order: each lineage trains steps 1, 2, ... and no group twice.

    `forced_lag`: optimizer steps by which a version may be announced late.
    """
    lineage = _Lineage()
    server, incarnation = "", ""
    batch: Line | None = None
    batches: dict[tuple[str, int], Line] = {}
    for line in lines:
        event = line.event
        step = event.step or 0
        if event.what != "start" and incarnation not in ("", event.incarnation):
            continue  # a replaced incarnation that was suspended and wrote its line after its successor had started
        match event.what:
            case "start":
                incarnation = event.incarnation
                server, batch = event.server or "", None
                lineage.roll_back(step)
            case "batch":
                if step != lineage.step + 1:
                    yield f"step {step} was started at step {lineage.step} ({line.place})"
                before = batches.setdefault((server, step), line)
                if before.event.group_ids != event.group_ids:
                    yield f"step {step} was replayed with other groups ({before.place}, then {line.place})"
                batch = line
            case "commit":
                if batch is None or batch.event.step != step:
                    yield f"step {step} was committed without its batch ({line.place})"
                    continue
                lineage.step = step
                for group_id in batch.event.group_ids:
                    first = lineage.trained.setdefault((server, group_id), (step, line))
                    if first[0] != step:
                        yield (
                            f"group {group_id} was trained in step {first[0]} ({first[1].place}) and again in step "
                            f"{step} ({line.place})"
                        )
                batch = None
            case "announce":
                version = event.version or 0
                if not lineage.step - forced_lag <= version <= lineage.step:
                    yield f"announce of {version} at step {lineage.step} ({line.place})"
            case "checkpoint":
                if step != lineage.step:
                    yield f"checkpoint of {step} at step {lineage.step} ({line.place})"
