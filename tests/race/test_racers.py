"""The command line of the race, and how finished groups are read from what a run leaves behind."""

from pathlib import Path

import msgspec
import pytest

from broker.errors import UsageError
from broker.history import History
from broker.records import Problem
from broker.reports import GroupEnd, as_text
from conf.load import load
from tests.race.corrections import CORRECTIONS, LAGS
from tests.race.course import Course
from tests.race.options import parse
from tests.race.outcome import Group
from tests.race.racers import Pope, Trl, trl_settings
from tests.race.trl_settings import TrlLine


def test_three_racers_race_by_default_and_named_ones_alone() -> None:
    assert [(r.name, r.settings) for r in parse([]).racers] == [
        ("pope", ()), ("pope_sync", ("learner.max_lag=0",)), ("trl", ())
    ]  # fmt: skip
    words = ["--pope", "b32", "learner.batch_samples=32", "learner.max_lag=1", "--trl", "fast", "learning_rate=1e-3"]
    alone = parse(words)
    assert [r.name for r in alone.racers] == ["b32", "fast"]
    assert alone.racers[0].settings == ("learner.batch_samples=32", "learner.max_lag=1")
    assert [r.name for r in parse([*words, "--runs", "pope trl"]).racers] == ["pope", "trl", "b32", "fast"]
    assert list(parse(["--seeds", "2", "--from", "5"]).seeds) == [5, 6]


def test_every_correction_races_at_every_forced_lag_under_settings_that_load() -> None:
    racers = parse(["--corrections"]).racers
    assert [r.name for r in racers[:3]] == ["lag-0", "truncated_is-1", "ppo_clip-1"]
    assert len(racers) == 1 + len(CORRECTIONS) * len(LAGS)
    lags = [load(None, racer.settings).learner.forced_lag for racer in racers]
    assert lags == [None, *(lag for lag in LAGS for _ in CORRECTIONS)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--runs", "pop"], "no such run"),
        (["--pope", "trl", "learner.max_lag=1"], "cannot name a run"),
        (["--pope", "A b"], "cannot name a run"),
        (["--pope", "one", "--trl", "one"], "several runs"),
        (["--pope", "one", "max_lag"], "no setting"),
        (["--trl", "one", "rate=1"], "unknown field `rate`; the settings of TRL are learning_rate,"),
        (["--trl", "one", "threads=two"], "Expected `int`"),
        (["--seeds", "0"], "at least 1"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(words: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse(words)


def test_settings_of_trl_are_read_by_their_types() -> None:
    read = trl_settings(["learning_rate=1e-3", "groups_per_step=4", "epsilon_high=null"])
    assert (read.learning_rate, read.groups_per_step, read.epsilon_high) == (1e-3, 4, None)


def test_a_race_is_not_mixed_with_one_of_another_budget(tmp_path: Path) -> None:
    def course(groups: int) -> Course:
        made = Course(tmp_path, groups)
        made.__dict__["model"] = Path("tiny-0")  # no base model is made
        return made

    course(100).prepare()
    course(100).prepare()
    with pytest.raises(UsageError, match="choose another name"):
        course(200).prepare()


def end(group_id: int, arm: str, unix_ms: int) -> GroupEnd:
    return GroupEnd(
        id=f"{unix_ms}-0", group_id=group_id, problem_id="p", arm=arm, bucket="hard", actor="actor-0", outcome="kept",
        step=0, oldest_version=0, rollouts=8, judged=8, reward_sum=float(group_id), successes=group_id,
        prompt_tokens=5, completion_tokens=9, truncated=0,
    )  # fmt: skip


def test_groups_of_pope_are_timed_by_their_publication(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    racer, course = Pope("pope"), Course(tmp_path, 4)
    assert racer.finished(course, 0) == [], "nothing yet"
    folder = course.work / "pope-0"
    clock = iter((1000.0, 1002.5, 1001.5))
    monkeypatch.setattr("broker.history.time.time", lambda: next(clock))
    history = History(folder, "actor-0", "actor-0@1")
    history.add("start")
    history.add("publish", group_id=0)
    history.add("publish", group_id=1)
    history.close()
    (folder / "metrics").mkdir()
    # Group 2 has no line in the history (full disk): the time of its report.
    lines = [as_text(end(0, "unguided", 1_002_600)), as_text(end(1, "guided", 1_002_601)),
             as_text(end(2, "unguided", 1_004_000))]  # fmt: skip
    (folder / "metrics" / "groups.jsonl").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    assert racer.finished(course, 0) == [
        Group("guided", 1.5, 1, 8), Group("unguided", 2.5, 0, 8), Group("unguided", 4.0, 2, 8)
    ]  # fmt: skip


def test_groups_of_trl_are_timed_from_its_first_step_and_a_torn_line_is_left_out(tmp_path: Path) -> None:
    racer, course = Trl("trl"), Course(tmp_path, 4)
    assert racer.finished(course, 0) == []
    lines = [TrlLine(at=50.0, version="1.16.0"), TrlLine(at=51.25, arm="unguided", successes=3, rollouts=8)]
    course.work.mkdir()
    text = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
    (course.work / "trl-0.groups.jsonl").write_bytes(text + b'{"at":5')
    assert racer.finished(course, 0) == [Group("unguided", 1.25, 3, 8)]
    assert racer.version(course, 0) == "TRL 1.16.0"


def test_trl_samples_the_groups_of_pope_in_their_order(tmp_path: Path) -> None:
    class Builder:
        def text(self, problem: Problem, guided: bool) -> str:
            return f"{problem.statement}{problem.guidance if guided else ''}"

        def ids(self, problem: Problem, guided: bool) -> list[int]:
            return [ord(letter) for letter in self.text(problem, guided)]

    class Prompts:
        builder = Builder()

    course = Course(tmp_path, 4)
    problems = [
        Problem(id=name, statement=name, answer=name * 2, bucket="hard", source="s", guidance="+") for name in "ab"
    ]
    course.problems_file.write_bytes(b"\n".join(map(msgspec.json.encode, problems)))
    groups = course._trl_groups(Prompts(), seed=1)
    assert [group.arm for group in groups] == ["unguided", "guided"] * 2
    assert {group.prompt for group in groups} == {"a", "b", "a+", "b+"}
    assert groups[0].prompt + "+" == groups[1].prompt, "both arms have the same order of problems"
    assert all(group.answer == group.prompt[0] * 2 for group in groups)
    assert groups[1].prompt_ids[1] == ord("+")
