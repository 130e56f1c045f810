"""Sound runs pass the audit, and every kind of corruption is found and named."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.problems.catalog import load_problems
from actors.problems.guidance_lengths import GuidanceLengths
from broker.assignments import GroupResult
from broker.history import Event, Line, RoleHistory
from conf.schema import GuidanceSettings, ProblemSettings
from deploy.audit.evidence import Evidence, Occupancy
from deploy.audit.lineage import lineage_violations
from deploy.audit.promises import check
from tests.deploy.audit.sound_runs import MAX_LAG, SoundRun


def broken(evidence: Evidence) -> dict[str, str]:
    """Promise -> its first violation."""
    return {v.promise: v.violation for v in check(evidence) if v.violation is not None}


@given(st.integers(0, 2**32), st.integers(0, 400))
@settings(max_examples=200)
def test_a_sound_run_keeps_every_promise(seed: int, moves: int) -> None:
    evidence = SoundRun(seed).evolve(moves).evidence()
    assert broken(evidence) == {}
    assert all(finding.evidence for finding in check(evidence))


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """A long run with every kind of event, whose learner has caught up."""
    runs = (SoundRun(seed).evolve(1500).evidence() for seed in itertools.count())
    found = next(r for r in runs if current_step(r) == r.locations.committed and is_busy(r))
    ends = set(found.locations.ended.values())
    assert ends == {"trained", "failed.prompt_too_long", "filtered.zero_advantage", "replaced", "stale"}
    assert sum(line.event.what == "start" and line.event.role == "learner-0" for line in found.lines()) > 2
    return found


def is_busy(evidence: Evidence) -> bool:
    return bool(evidence.locations.leased and evidence.locations.ring)


def edited(evidence: Evidence, edit: Callable[[Event], Event | None], role: str = "") -> Evidence:
    """With the first event for which `edit` returns another replaced by that."""
    histories = list(evidence.histories)
    for i, history in enumerate(histories):
        for n, line in enumerate(history.lines):
            after = edit(line.event) if history.role.startswith(role) else None
            if after is not None:
                lines = (*history.lines[:n], Line(line.place, after), *history.lines[n + 1 :])
                histories[i] = replace(history, lines=lines)
                return replace(evidence, histories=tuple(histories))
    raise AssertionError("nothing to corrupt")


def appended(evidence: Evidence, role: str, **fields: object) -> Evidence:
    """One more line of the newest incarnation of a role."""
    histories = []
    for history in evidence.histories:
        if history.role == role:
            last = history.lines[-1]
            bare = Event(at=0.0, role=role, incarnation=last.event.incarnation, what="start")
            event = msgspec.structs.replace(bare, **fields)
            line = Line(f"{role}.jsonl:{len(history.lines) + 1}", event)
            history = replace(history, lines=(*history.lines, line))
        histories.append(history)
    return replace(evidence, histories=tuple(histories))


def located(evidence: Evidence, **fields: object) -> Evidence:
    return replace(evidence, locations=replace(evidence.locations, **fields))  # type: ignore[arg-type]


def newest(evidence: Evidence, what: str) -> Event:
    return [line.event for line in evidence.lines(what)][-1]


def current_step(evidence: Evidence) -> int:
    """Of the learner's newest incarnation."""
    events = [line.event for line in evidence.lines("start", "commit")]
    return [event.step or 0 for event in events if event.role == "learner-0"][-1]


def trained_again(evidence: Evidence) -> Evidence:
    """The next step is given a group of the newest one, and commits it."""
    step = current_step(evidence)
    group_ids = next(line.event.group_ids for line in evidence.lines("batch") if line.event.step == step)
    more = appended(evidence, "learner-0", what="batch", step=step + 1, group_ids=group_ids)
    return appended(more, "learner-0", what="commit", step=step + 1)


def ended_as(evidence: Evidence, group_id: int, end: str) -> Evidence:
    return located(evidence, ended={**evidence.locations.ended, group_id: end})


def counted(evidence: Evidence, end: str, more: int) -> Evidence:
    counters = evidence.locations.counters
    return located(evidence, counters={**counters, end: counters.get(end, 0) + more})


def replayed_otherwise(evidence: Evidence) -> Evidence:
    seen: dict[int | None, tuple[int, ...]] = {}

    def edit(event: Event) -> Event | None:
        if event.what == "batch" and event.step in seen:
            return msgspec.structs.replace(event, group_ids=event.group_ids[::-1])
        seen[event.step] = event.group_ids
        return None

    return edited(evidence, edit, "learner")


def too_old(evidence: Evidence) -> Evidence:
    """The preprocessor put a group that is older than its step allows."""
    late = next(line.event for line in evidence.lines("batch") if (line.event.step or 0) > MAX_LAG + 1)

    def edit(event: Event) -> Event | None:
        if event.what == "put" and event.group_id in late.group_ids:
            return msgspec.structs.replace(event, versions=(0, 0))
        return None

    return edited(evidence, edit)


def changed(evidence: Evidence, what: str, **fields: object) -> Evidence:
    """With other fields in the newest event of a kind."""
    event = newest(evidence, what)
    return edited(evidence, lambda e: msgspec.structs.replace(e, **fields) if e is event else None)


CORRUPTIONS: dict[str, tuple[Callable[[Evidence], Evidence], str, str]] = {
    # what happened -> (how, the promise that is broken, what its sentence must say)
    "trained in two steps": (trained_again, "trained once", "was trained in step"),
    "replayed with other groups": (replayed_otherwise, "trained once", "replayed with other groups"),
    "a step was skipped": (
        lambda e: appended(e, "learner-0", what="batch", step=current_step(e) + 2),
        "trained once", "was started at step"),
    "committed without a batch": (
        lambda e: appended(e, "learner-0", what="commit", step=current_step(e) + 1),
        "trained once", "committed without its batch"),
    "announced before it was trained": (
        lambda e: appended(e, "learner-0", what="announce", version=current_step(e) + 1),
        "trained once", "announce of"),
    "ended twice": (
        lambda e: counted(e, "stale", 1), "one end", "counter stale is"),
    "dropped and trained": (
        lambda e: ended_as(e, newest(e, "batch").group_ids[0], "stale"),
        "one end", "stale (Redis, ended) and trained in step"),
    "dropped and in the ring": (
        lambda e: ended_as(e, e.locations.ring[0], "filtered.no_reward"), "one end", "and ring (Redis, ring)"),
    "trained in no step": (
        lambda e: ended_as(located(e, ring=e.locations.ring[1:]), e.locations.ring[0], "trained"),
        "one end", "in no step of the learner's history"),
    "on the stream and in the ring": (
        lambda e: located(e, stream=(*e.locations.stream, e.locations.ring[0])),
        "one end", "ring (Redis, ring) and stream"),
    "lost": (
        lambda e: located(e, ring=e.locations.ring[1:]), "one end", "was issued and is lost, 1 in all"),
    "never issued": (
        lambda e: located(e, leased=(*e.locations.leased, 99_999)), "one end", "group 99999 was never issued"),
    "a counter that runs ahead": (
        lambda e: counted(e, "replaced", 1), "one end", "counter replaced is"),
    "a counter of a reason nobody gave": (
        lambda e: counted(e, "filtered.odd", 1),
        "one end", "counter filtered.odd is 1, but 0 groups have this outcome"),
    "trained groups that are not counted": (
        lambda e: counted(e, "trained", -1), "one end", "counter trained is"),
    "an entry nobody published": (
        lambda e: located(e, stream=(*e.locations.stream, None)), "one end", "an entry that no actor published"),
    "a publish that Redis lost": (
        lambda e: appended(e, "actor-0", what="publish", group_id=e.locations.leased[0]),
        "acknowledged", "is lost: the group is leased"),
    "a put that Redis lost": (
        lambda e: appended(e, "preprocess-0", what="put", group_id=e.locations.leased[0], versions=(0, 0)),
        "acknowledged", "put of group"),
    "a drop under another reason": (
        lambda e: changed(e, "drop", reason="no_reward"), "acknowledged", "the group is filtered.zero_advantage"),
    "a group put twice": (
        lambda e: appended(e, "preprocess-0", what="put", group_id=newest(e, "put").group_id, versions=(0, 0)),
        "acknowledged", "was done twice"),
    "a commit that Redis lost": (
        lambda e: located(e, committed=e.locations.committed - 1), "acknowledged", "is lost: Redis is at step"),
    "a group of another arm": (
        lambda e: changed(e, "publish", arm="easy"), "assigned", "was sampled under easy"),
    "a group of another problem": (
        lambda e: changed(e, "publish", problem_id="q"), "assigned", "is recorded for it"),
    "a problem that was not recorded": (
        lambda e: replace(e, choices=()), "assigned", "no problem is recorded for it"),
    "weights that went back": (
        lambda e: appended(e, "actor-0", what="hold", version=newest(e, "hold").version - 1),
        "versions", "went back from version"),
    "a version nobody announced": (
        lambda e: appended(e, "actor-0", what="hold", version=77_777), "versions", "version 77777 was never announced"),
    "tokens of a version nobody announced": (
        lambda e: changed(e, "put", versions=(0, 77_777)), "versions", "version 77777 was never announced (put"),
    "too old": (too_old, "lag", f"learner.max_lag is {MAX_LAG}"),
    "an overfull ring": (
        lambda e: replace(e, occupancy=(Occupancy("metrics 5-0", 33, 0),)), "bounded", "the ring held 33 samples"),
    "an overfull stream": (
        lambda e: replace(e, occupancy=(Occupancy("metrics 5-0", 0, 10_001),)),
        "bounded", "the stream held 10001 groups"),
    "another checkpoint under the same name": (
        lambda e: replace(e, checkpoints=(replace(e.checkpoints[0], sha256="other"),)),
        "checkpoints", "has manifest other"),
    "a line that is no event": (
        lambda e: replace(e, histories=(RoleHistory("actor-0", (), ("actor-0.jsonl:3",)), *e.histories)),
        "histories", "actor-0.jsonl:3 cannot be read"),
}  # fmt: skip


CHAINS = load_problems(ProblemSettings(num_hard=7), 0)
ADAPTIVE = GuidanceSettings(length="adaptive")


def adaptive(evidence: Evidence) -> Evidence:
    """As if the guidance of the guided groups had followed results of their problems, half of them failures."""
    problems = [msgspec.structs.replace(problem, id=f"p{n}") for n, problem in enumerate(CHAINS)]
    lengths, choices = GuidanceLengths(problems, ADAPTIVE, 0), []
    newest_of: dict[str, int] = {}
    for group_id, choice in enumerate(evidence.choices or ()):
        if evidence.arm_cycle[group_id % len(evidence.arm_cycle)] == "guided":
            known = [GroupResult(n, n % 2 * 8, 8) for n in [newest_of.get(choice.problem_id)] if n is not None]
            guidance = lengths.choose(group_id, choice.problem_id, known)
            choice = replace(choice, guidance=guidance)
            lengths.record(group_id, choice.problem_id, guidance)
            newest_of[choice.problem_id] = group_id
        choices.append(choice)

    def with_guidance(line: Line) -> Line:
        if line.event.what != "publish" or line.event.group_id is None:
            return line
        own = choices[line.event.group_id].guidance
        return Line(line.place, msgspec.structs.replace(line.event, guidance_chars=own.chars if own else 0))

    histories = tuple(replace(h, lines=tuple(map(with_guidance, h.lines))) for h in evidence.histories)
    unused = GuidanceLengths(problems, ADAPTIVE, 0)
    return replace(evidence, histories=histories, choices=tuple(choices), lengths=unused)


def rerecorded(evidence: Evidence, **fields: object) -> Evidence:
    """With other fields in the last recorded guidance."""
    choices = list(evidence.choices or ())
    last = max(n for n, choice in enumerate(choices) if choice.guidance is not None)
    assert choices[last].guidance is not None
    choices[last] = replace(choices[last], guidance=replace(choices[last].guidance, **fields))  # type: ignore[type-var]
    return replace(evidence, choices=tuple(choices))


def with_chars(evidence: Evidence, arm: str, chars: int) -> Evidence:
    """With other guidance in the first published group of an arm."""
    return edited(evidence, lambda e: msgspec.structs.replace(e, guidance_chars=chars) if e.arm == arm else None)


def test_lengths_that_follow_their_rule_pass_and_are_counted(evidence: Evidence) -> None:
    sound = adaptive(evidence)
    assert broken(sound) == {}
    (finding,) = (finding for finding in check(sound) if finding.promise == "assigned")
    guided = len(range(1, len(sound.choices or ()), 3))
    assert f"{guided} recorded lengths of guidance" in finding.evidence


@pytest.mark.parametrize(
    ("corrupt", "sentence"),
    [
        (lambda e: with_chars(e, "guided", 7), "with 7 characters of guidance"),
        (lambda e: with_chars(e, "unguided", 7), "it is not guided"),
        (lambda e: rerecorded(e, share=0.123), "for the share 0.123, but guidance.length gives"),
        (lambda e: rerecorded(e, after=()), "but guidance.length gives"),
        (lambda e: replace(e, choices=tuple(replace(c, guidance=None) for c in e.choices)), "has no recorded length"),
    ],
)
def test_guidance_that_is_not_as_recorded_or_not_by_the_rule_is_found(
    evidence: Evidence, corrupt: Callable[[Evidence], Evidence], sentence: str
) -> None:
    assert sentence in broken(corrupt(adaptive(evidence)))["assigned"]


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corruption_is_found_and_named(evidence: Evidence, corruption: str) -> None:
    corrupt, promise, sentence = CORRUPTIONS[corruption]
    found = broken(corrupt(evidence))
    assert sentence in found[promise], found


def test_a_violation_names_file_and_line(evidence: Evidence) -> None:
    found = broken(trained_again(evidence))["trained once"]
    step = current_step(evidence)
    place = next(line.place for line in evidence.lines("commit") if line.event is newest(evidence, "commit"))
    last = next(h.lines[-1].place for h in trained_again(evidence).histories if h.role == "learner-0")
    assert f"in step {step} ({place}) and again in step {step + 1} ({last})" in found


def without(evidence: Evidence, room: str, gone: Callable[[int, int], bool]) -> Evidence:
    """Without the lines of a role for which `gone(number, number of lines)`."""
    histories = [
        replace(h, lines=tuple(line for n, line in enumerate(h.lines) if not gone(n, len(h.lines))))
        if h.role.startswith(room)
        else h
        for h in evidence.histories
    ]
    return replace(evidence, histories=tuple(histories))


MISSING: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "three quarters of an actor's lines": (
        lambda e: without(e, "actor", lambda n, _: n % 4 != 0), "publications have no line in a history of actor"),
    "nearly all of a preprocessor's": (
        lambda e: without(e, "preprocess", lambda n, _: n > 20), "groups in the ring have no line in a history of"),
    "the beginning of the learner's": (
        lambda e: without(e, "learner", lambda n, count: n < count // 2), "batches have no line in a history of"),
    "a role's whole history": (
        lambda e: replace(without(e, "actor", lambda n, _: True), absent=("actor-0",)),
        "have no line in a history of actor; no history of actor-0 is in this folder"),
    "the reports of preprocessing": (
        lambda e: replace(e, occupancy=()), "there is no report of a preprocessor"),
}  # fmt: skip


@pytest.mark.parametrize("missing", MISSING)
def test_missing_evidence_is_a_violation(evidence: Evidence, missing: str) -> None:
    remove, sentence = MISSING[missing]
    assert sentence in broken(remove(evidence))["recorded"]


def of_two_sessions(version: int) -> Evidence:
    """A run of ten steps that was resumed at step 8; the engine then wrote a group with this version."""
    found = SoundRun(3).evolve(0).evidence()

    def line(role: str, session: int, what: str, **fields: object) -> Line:
        event = Event(at=0.0, role=role, incarnation=f"{role}@{session}.0", what=what, **fields)  # type: ignore[arg-type]
        return Line(f"{role}.jsonl:{session}", event)

    server = found.locations.server
    learner = tuple(line("learner-0", n, "start", server=server, step=step) for n, step in ((1, 0), (2, 8)))
    actor = tuple(line("actor-0", n, "start", server=server) for n in (1, 2))
    preprocess = (
        line("preprocess-0", 2, "start", server=server),
        line("preprocess-0", 2, "put", group_id=5, versions=(0, 3)),
        line("preprocess-0", 2, "put", group_id=6, versions=(version, version)),
    )
    published = (line("actor-0", 1, "publish", group_id=5), line("actor-0", 2, "publish", group_id=6))
    histories = (
        RoleHistory("preprocess-0", preprocess, ()),
        RoleHistory("actor-0", (*actor, *published), ()),
        RoleHistory("learner-0", learner, ()),
    )
    return replace(found, histories=histories)


@pytest.mark.parametrize("version", [0, 7, 8])
def test_a_resumed_run_samples_with_the_weights_it_was_resumed_at(version: int) -> None:
    """A group sampled before the resume may be older."""
    (found,) = [finding for finding in check(of_two_sessions(version)) if finding.promise == "resumed"]
    assert found.evidence == "1 resumes, 1 groups sampled after one"
    wrong = f"group 6 was sampled by version {version} (preprocess-0.jsonl:2), but the run was resumed at step 8"
    assert (found.violation or "").startswith(wrong) is (version < 8)


def test_what_cannot_be_checked_is_reported(evidence: Evidence) -> None:
    blind = replace(evidence, histories=(), absent=("actor-0", "learner-0"))
    assert broken(blind).keys() == {"recorded"}
    unchecked = {v.promise: v.unchecked for v in check(blind) if v.unchecked}
    assert unchecked["histories"] == "no history of actor-0, learner-0 in this folder"
    assert unchecked["trained once"] == "the learner's history is not complete"


def test_a_learners_history_that_begins_late_or_has_a_gap_is_not_checked(evidence: Evidence) -> None:
    start = next(h.lines[0].event for h in evidence.histories if h.role == "learner-0")
    begun_late = edited(evidence, lambda e: msgspec.structs.replace(e, step=40) if e is start else None)
    for partial in (begun_late, appended(evidence, "learner-0", what="gap", missed=3)):
        assert not partial.has_whole_learner
        assert broken(partial) == {}


def test_groups_of_a_server_that_is_gone_are_other_groups(evidence: Evidence) -> None:
    """A run that goes on with an empty Redis counts group ids from 0 again."""
    fresh = SoundRun(3).evolve(0).evidence()
    old = [replace(h, lines=tuple(_of_another_server(line) for line in h.lines)) for h in evidence.histories]
    both = replace(fresh, histories=tuple(old))
    assert broken(both) == {}


def _of_another_server(line: Line) -> Line:
    if line.event.what != "start":
        return line
    return Line(line.place, msgspec.structs.replace(line.event, server="gone"))


def test_a_line_that_a_replaced_learner_writes_late_is_no_step_of_its_successor(evidence: Evidence) -> None:
    """It was suspended between a commit and its line, and resumed when its successor had started."""
    first = next(h.lines[0].event for h in evidence.histories if h.role == "learner-0")
    late = appended(evidence, "learner-0", what="start", step=current_step(evidence), incarnation="a later one")
    late = appended(late, "learner-0", what="commit", step=1, incarnation=first.incarnation)
    assert broken(late) == {}


def test_versions_are_announced_late_only_under_a_forced_lag() -> None:
    def line(what: str, **fields: object) -> Line:
        return Line("x:1", Event(at=0.0, role="learner-0", incarnation="a", what=what, **fields))  # type: ignore[arg-type]

    lines = [line("start", step=0), line("announce", version=0)]
    for step, version in ((1, 0), (2, 0), (3, 1)):
        lines += [line("batch", step=step, group_ids=(step,)), line("commit", step=step)]
        lines += [line("announce", version=version)] if step > 2 else []
    assert list(lineage_violations(lines, forced_lag=2)) == []
    assert list(lineage_violations(lines, forced_lag=1)) == ["announce of 1 at step 3 (x:1)"]
    assert list(lineage_violations(lines)) == ["announce of 1 at step 3 (x:1)"]
