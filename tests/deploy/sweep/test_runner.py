"""Runs of a sweep: finished ones are skipped, unfinished ones resumed, failed ones reported; a stop ends all."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from broker.errors import UsageError
from conf.load import dump
from deploy.store.run_folder import RunFolder
from deploy.sweep import command as sweep_file
from deploy.sweep import runner as runner_file
from deploy.sweep.children import Child
from deploy.sweep.command import _Saver, sweep
from deploy.sweep.existing_runs import existing_state
from deploy.sweep.outcome_table import as_json, closing_table, time_left
from deploy.sweep.plan import PlannedRun, SweepPlan, plan_sweep
from deploy.sweep.runner import Progress, Runner
from deploy.view.screen import table_screen

LOOKS = 2
"""Number of polls after which a fake child ends."""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_file, "TICK_S", 0.0)


def plan(folder: Path, *words: str) -> SweepPlan:
    return plan_sweep(["hard", "pope", "seeds=[0,1]", f"run.root={folder}", "run.max_groups=64", *words])


def summary(
    *, ended: str = "rollout budget used up: run.max_groups=64", steps: int = 3, issued: int = 64
) -> dict[str, Any]:
    return {
        "ended": ended, "steps": steps, "wall_s": 90.0, "train_s": 60.0,
        "hard": {"before": {"unguided": {"pass@1": 0.0, "pass@8": 0.125}}, "after": {"unguided": {"pass@1": 0.5}}},
        "counters": {"issued": issued, "rollouts": issued * 8},
    }  # fmt: skip


def leave(run: PlannedRun, content: dict[str, Any] | None) -> None:
    """Make the folder of a run: its settings, and its summary if there is one."""
    folder = RunFolder.of(run.config)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.settings.write_text(dump(run.config))
    if content is not None:
        folder.summary.write_text(json.dumps(content))


class FakeChild:
    """Ends by itself after `LOOKS` polls, with a given exit code."""

    def __init__(self, run: PlannedRun, code: int, events: list[str]) -> None:
        self._run, self._code, self._events = run, code, events
        self._looks = 0

    def poll(self) -> int | None:
        self._looks += 1
        if self._looks < LOOKS:
            return None
        if self._code == 0:
            leave(self._run, summary())
        self._events.append(f"end {self._run.name}")
        return self._code

    def last_line(self) -> str:
        return f"words of {self._run.name}"

    def interrupt(self) -> None:
        self._events.append(f"interrupt {self._run.name}")
        self._code = 130

    def terminate(self) -> None:
        self._events.append(f"kill {self._run.name}")


class Starter:
    """Starts fake children and records what happens to them."""

    def __init__(self, codes: dict[str, int] | None = None) -> None:
        self.events: list[str] = []
        self._codes = codes or {}

    def __call__(self, run: PlannedRun, resume: bool) -> Child:
        self.events.append(f"{'resume' if resume else 'start'} {run.name}")
        return FakeChild(run, self._codes.get(run.name, 0), self.events)


def nothing(rows: Sequence[Progress]) -> None:
    """A view that shows nothing."""


def test_runs_follow_one_another(tmp_path: Path) -> None:
    starter = Starter()
    runner = Runner(plan(tmp_path).runs, starter)
    runner.run(nothing)
    assert starter.events == [
        "start hard-s0", "end hard-s0", "start pope-s0", "end pope-s0",
        "start hard-s1", "end hard-s1", "start pope-s1", "end pope-s1",
    ]  # fmt: skip
    assert [row.state for row in runner.rows] == ["finished"] * 4
    assert runner.rows[0].summary is not None
    assert runner.rows[0].summary["steps"] == 3


def test_some_run_at_once_and_never_more(tmp_path: Path) -> None:
    starter, seen = Starter(), []
    Runner(plan(tmp_path).runs, starter, at_once=3).run(
        lambda rows: seen.append(sum(row.state == "running" for row in rows))
    )
    assert starter.events[:3] == ["start hard-s0", "start pope-s0", "start hard-s1"]
    assert max(seen) == 3


def test_the_same_sweep_again_goes_on(tmp_path: Path) -> None:
    runs = plan(tmp_path).runs
    leave(runs[0], summary())
    leave(runs[1], None)  # killed
    leave(runs[2], summary(ended="interrupted by SIGINT", steps=1, issued=20))
    starter = Starter()
    runner = Runner(runs, starter)
    assert [row.existing for row in runner.rows] == ["finished", "unfinished", "unfinished", "new"]
    runner.run(nothing)
    assert [event for event in starter.events if not event.startswith("end")] == [
        "resume pope-s0", "resume hard-s1", "start pope-s1",
    ]  # fmt: skip
    assert [row.existing for row in Runner(runs, Starter()).rows] == ["finished"] * 4


def test_a_run_whose_budget_was_raised_goes_on(tmp_path: Path) -> None:
    leave(plan(tmp_path).runs[0], summary())
    assert existing_state(plan(tmp_path).runs[0]) == "finished"
    assert existing_state(plan(tmp_path, "run.max_groups=65").runs[0]) == "unfinished"
    leave(plan(tmp_path).runs[0], summary(ended="run.max_steps=3 reached", issued=30))
    assert existing_state(plan(tmp_path).runs[0]) == "unfinished"
    assert existing_state(plan(tmp_path, "run.max_steps=3").runs[0]) == "finished"


def test_a_run_with_other_settings_is_never_mixed_with_this_one(tmp_path: Path) -> None:
    runs = plan(tmp_path).runs
    leave(runs[0], summary())
    other = plan(tmp_path, "learner.learning_rate=1e-4").runs
    with pytest.raises(UsageError, match=r"hard-s0 holds .* other settings \(learner.learning_rate\)") as caught:
        Runner(other, Starter())
    assert "--fresh" in str(caught.value)
    starter = Starter()
    Runner(other, starter, fresh=True).run(nothing)
    assert starter.events[0] == "start hard-s0"


def test_a_failure_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    runner = Runner(plan(tmp_path).runs, Starter({"pope-s0": 1}))
    runner.run(nothing)
    assert [row.state for row in runner.rows] == ["finished", "failed", "finished", "finished"]
    assert [row.note for row in runner.failed] == ["exit code 1: words of pope-s0"]


def test_a_sweep_may_stop_at_the_first_failure(tmp_path: Path) -> None:
    starter = Starter({"hard-s0": 2})
    runner = Runner(plan(tmp_path).runs, starter, stop_on_failure=True)
    runner.run(nothing)
    assert starter.events == ["start hard-s0", "end hard-s0"]
    assert [row.state for row in runner.rows] == ["failed", "waiting", "waiting", "waiting"]


def test_a_run_that_ends_well_and_leaves_nothing_has_failed(tmp_path: Path) -> None:
    class Forgetful(FakeChild):
        def poll(self) -> int | None:
            return 0

    starter = Starter()
    runner = Runner(plan(tmp_path).runs[:1], lambda run, resume: Forgetful(run, 0, starter.events))
    runner.run(nothing)
    assert "summary.json" in runner.failed[0].note


def test_a_stop_lets_the_running_ones_end_and_starts_no_other(tmp_path: Path) -> None:
    starter = Starter()
    runner = Runner(plan(tmp_path).runs, starter, at_once=2)
    looks = stop_at(runner, 1)
    runner.run(looks)
    assert starter.events == [
        "start hard-s0", "start pope-s0", "interrupt hard-s0", "interrupt pope-s0", "end hard-s0", "end pope-s0",
    ]  # fmt: skip
    assert [row.state for row in runner.rows] == ["interrupted", "interrupted", "waiting", "waiting"]


def stop_at(runner: Runner, look: int) -> Callable[[Sequence[Progress]], None]:
    seen: list[int] = []

    def show(rows: Sequence[Progress]) -> None:
        seen.append(0)
        if len(seen) == look:
            runner.stop("interrupted by SIGINT")

    return show


def test_an_error_of_our_own_leaves_no_child_behind(tmp_path: Path) -> None:
    starter = Starter()

    def fail(rows: Sequence[Progress]) -> None:
        raise RuntimeError("the view broke")

    with pytest.raises(RuntimeError, match="the view broke"):
        Runner(plan(tmp_path).runs, starter).run(fail)
    assert starter.events == ["start hard-s0", "kill hard-s0"]


# Results


def finished(folder: Path) -> list[Progress]:
    runner = Runner(plan(folder).runs, Starter({"pope-s1": 1}))
    runner.run(nothing)
    return runner.rows


def test_sweep_json_says_what_ran_and_what_it_measured(tmp_path: Path) -> None:
    written = as_json(plan(tmp_path), finished(tmp_path))
    assert (written["sweep"], written["experiments"], written["seeds"]) == ("sweep", ["hard", "pope"], [0, 1])
    first, *_, last = written["runs"]
    assert (first["name"], first["experiment"], first["seed"], first["state"]) == ("hard-s0", "hard", 0, "finished")
    assert (first["steps"], first["groups"], first["rollouts"]) == (3, 64, 512)
    assert first["hard"]["before"]["unguided"] == {"pass@1": 0.0, "pass@8": 0.125}
    assert "experiment=hard" in first["settings"]
    assert (last["state"], last["note"]) == ("failed", "exit code 1: words of pope-s1")


def test_it_is_written_when_a_run_changes_and_only_then(tmp_path: Path) -> None:
    ours = plan(tmp_path)
    ours.folder.mkdir()
    rows = Runner(ours.runs, Starter()).rows
    save = _Saver(ours)
    save(rows)
    (ours.folder / "sweep.json").unlink()
    save(rows)
    assert not (ours.folder / "sweep.json").exists()
    rows[0].state = "running"
    save(rows)
    assert json.loads((ours.folder / "sweep.json").read_text())["runs"][0]["state"] == "running"


def test_the_closing_table_has_a_column_for_everything_that_was_measured(tmp_path: Path) -> None:
    table = closing_table("mine", finished(tmp_path))
    assert [str(column.header) for column in table.columns] == [
        "run", "state", "steps", "rollouts", "before pass@1", "before pass@8", "after pass@1", "minutes",
    ]  # fmt: skip
    cells = [list(map(str, column.cells)) for column in table.columns]
    assert cells[0] == ["hard-s0", "pope-s0", "hard-s1", "pope-s1"]
    assert cells[3] == ["512", "512", "512", ""]
    assert cells[6] == ["50.0%", "50.0%", "50.0%", ""]


def test_the_time_that_is_left_is_guessed_from_the_runs_that_ended(tmp_path: Path) -> None:
    rows = Runner(plan(tmp_path).runs, Starter()).rows
    assert time_left(rows) == "0/4 runs"
    rows[0].state, rows[0].wall_s = "finished", 100.0
    rows[1].state, rows[1].wall_s = "running", 40.0
    assert time_left(rows) == "1/4 runs, about 4:20 left"  # 60 + 100 + 100
    rows[2].state, rows[2].wall_s = "running", 20.0
    assert time_left(rows, at_once=2) == "1/4 runs, about 2:00 left"  # (60 + 80 + 100) / 2


def test_a_sweep_runs_as_many_side_by_side_as_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starter = Starter()
    monkeypatch.setattr(sweep_file, "_process_starter", lambda plan: starter)
    sweep(["hard", "pope", f"run.root={tmp_path}", "run.max_groups=64"], table_screen(), at_once=2)
    assert starter.events == ["start hard-s0", "start pope-s0", "end hard-s0", "end pope-s0"]


def test_runs_here_and_jobs_of_a_cluster_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--at-once runs on this machine: give one of them"):
        sweep(["hard", f"run.root={tmp_path}"], table_screen(), jobs=2, at_once=2)
    assert not list(tmp_path.iterdir())
