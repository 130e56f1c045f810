"""The promise about assignments: every group is of the arm and the problem its id stands for. Pure."""

from collections.abc import Iterator

from deploy.audit.evidence import Evidence
from deploy.audit.finding import Finding


def assigned(evidence: Evidence) -> Finding:
    """The arm of a group is its turn in the cycle of arms, and its problem the recorded one, if problems are recorded.

    The turns of all issued groups are the mixture of arms, exact in every window of one cycle.
    """
    cycle, recorded = evidence.arm_cycle, evidence.assigned_problems
    lines = [line for line in evidence.on_this_server("publish") if line.event.arm is not None]

    def violations() -> Iterator[str]:
        for line in lines:
            event = line.event
            assert event.group_id is not None
            if event.arm != (turn := cycle[event.group_id % len(cycle)]):
                yield f"group {event.group_id} was sampled under {event.arm} ({line.place}), but its turn is {turn}"
            if recorded is None:
                continue
            if event.group_id >= len(recorded):
                yield f"group {event.group_id} was sampled ({line.place}), but no problem is recorded for it"
            elif event.problem_id != (problem := recorded[event.group_id]):
                yield (
                    f"group {event.group_id} was sampled for {event.problem_id} ({line.place}), but {problem} is "
                    "recorded for it"
                )

    source = "arms by turn" if recorded is None else f"arms by turn, {len(recorded)} recorded problems"
    missing = evidence.locations.counters.get("published", 0) - len(lines)
    unchecked = f"{missing} published groups without an arm in a history" if missing > 0 else None
    return Finding("assigned", f"{len(lines)} groups sampled; {source}", next(violations(), None), unchecked)
