"""The promise about assignments: every group is of the arm, problem and guidance its id stands for. Pure."""

from collections.abc import Iterator

from broker.history import Event
from deploy.audit.evidence import Evidence
from deploy.audit.finding import Finding


def assigned(evidence: Evidence) -> Finding:
    """The arm of a group is its turn in the cycle of arms; problem and guidance are the recorded ones, if recorded.

    The turns of all issued groups are the mixture of arms, exact in every window of one cycle. Recorded guidance is
    what the rule of `guidance.length` gives for the records before it.
    """
    recorded = evidence.choices
    lines = [line for line in evidence.on_this_server("publish") if line.event.arm is not None]

    def violations() -> Iterator[str]:
        for line in lines:
            if mismatch := _mismatch(evidence, line.event):
                sampled, expected = mismatch
                yield f"group {line.event.group_id} was sampled{sampled} ({line.place}), but {expected}"
        yield from _broken_lengths(evidence)

    source = "arms by turn" if recorded is None else f"arms by turn, {len(recorded)} recorded problems"
    if evidence.lengths is not None:
        source += f", {sum(choice.guidance is not None for choice in recorded or ())} recorded lengths of guidance"
    missing = evidence.locations.counters.get("published", 0) - len(lines)
    unchecked = f"{missing} published groups without an arm in a history" if missing > 0 else None
    return Finding("assigned", f"{len(lines)} groups sampled; {source}", next(violations(), None), unchecked)


def _mismatch(evidence: Evidence, event: Event) -> tuple[str, str] | None:
    """(how a group was sampled, what it should have been); None: as assigned."""
    cycle, recorded, group_id = evidence.arm_cycle, evidence.choices, event.group_id
    assert group_id is not None
    if event.arm != (turn := cycle[group_id % len(cycle)]):
        return f" under {event.arm}", f"its turn is {turn}"
    guidance = f" with {event.guidance_chars} characters of guidance"
    if turn != "guided" and event.guidance_chars:
        return guidance, "it is not guided"
    if recorded is None:
        return None
    if group_id >= len(recorded):
        return "", "no problem is recorded for it"
    choice = recorded[group_id]
    if event.problem_id != choice.problem_id:
        return f" for {event.problem_id}", f"{choice.problem_id} is recorded for it"
    if choice.guidance is not None and event.guidance_chars != choice.guidance.chars:
        return guidance, f"{choice.guidance.chars} are recorded for it"
    return None


def _broken_lengths(evidence: Evidence) -> Iterator[str]:
    """Recorded choices of guidance that are not those of the rule."""
    if evidence.lengths is None:
        return
    lengths = evidence.lengths.copy()
    for group_id, choice in enumerate(evidence.choices or ()):
        guided = evidence.arm_cycle[group_id % len(evidence.arm_cycle)] == "guided"
        if not guided and choice.guidance is None:
            continue
        if choice.guidance is None or not guided:
            yield f"group {group_id} has {'no' if guided else 'a'} recorded length of guidance, but its turn is " + (
                "guided" if guided else "not"
            )
            return
        if choice.guidance != (own := lengths.choose(group_id, choice.problem_id, choice.guidance.after)):
            yield (
                f"group {group_id} has recorded guidance of {choice.guidance.chars} characters for the share "
                f"{choice.guidance.share}, but guidance.length gives {own.chars} for {own.share}"
            )
            return
        lengths.record(group_id, choice.problem_id, choice.guidance)
