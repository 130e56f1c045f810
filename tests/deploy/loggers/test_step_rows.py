"""The numbers of a run by optimizer step."""

import math

import pytest

from deploy.loggers.step_rows import StepRows
from deploy.store.run_view import Reports
from deploy.store.step_numbers import Rows
from tests.deploy.loggers.full_reports import full_reports, names_of
from tests.reports import actor_output, ended, learner_step, role_times, sft_step


def taken_at_once(reports: Reports) -> Rows:
    rows = StepRows()
    rows.add(reports, [sft_step(1)])
    return rows.take_rest()


def test_every_number_of_every_report_has_its_one_name_and_no_name_is_invented() -> None:
    reports = full_reports()
    names, expected = {name for row in taken_at_once(reports).values() for name in row}, names_of(reports, sft_step(1))
    assert expected <= names
    assert names - expected == {
        *(f"{what}/{arm}" for what in ("success", "solved") for arm in ("unguided", "guided")),
        "kept", "cut", "unjudged", "written_per_s",
    }  # fmt: skip


def test_the_learners_numbers_are_those_of_its_report() -> None:
    rows = taken_at_once(full_reports())
    assert [rows[step]["loss/mean"] for step in (1, 2, 3)] == [0.125, 0.25, 0.375]
    assert rows[1]["lag/histogram/2"] == 1500
    assert list(rows[1]) == sorted(rows[1])


def test_counts_of_a_step_are_sums_and_levels_are_means() -> None:
    row = taken_at_once(full_reports())[2]
    assert row["actors/tokens"] == 16_000
    assert row["preprocess/ring/occupancy"] == 48
    assert row["groups/successes/guided"] == 2


def test_a_step_is_taken_once_when_a_later_one_was_reported() -> None:
    rows = StepRows()
    rows.add(Reports(groups=[ended(1, step=0)]))
    assert rows.take(rows.complete) == {}
    rows.add(Reports(learner=[learner_step(1, id="1000-0")], groups=[ended(1, step=0)]))
    assert list(rows.take(rows.complete)) == [0]
    rows.add(Reports(learner=[learner_step(2, id="2000-0"), learner_step(3, id="3000-0")]))
    assert list(rows.take(rows.complete)) == [1, 2]
    assert rows.take(rows.complete) == {}
    assert list(rows.take_rest()) == [3]


def test_steps_taken_one_by_one_are_those_taken_at_once() -> None:
    whole, rows, found = full_reports(), StepRows(), Rows()
    rows.add(Reports(), [sft_step(1)])
    for step in range(4):
        part = Reports(
            learner=[r for r in whole.learner if r.step == step],
            syncs=[r for r in whole.syncs if r.version == step],
            outputs=[r for r in whole.outputs if r.version == step],
            groups=[r for r in whole.groups if r.step == step],
            preprocess=[r for r in whole.preprocess if r.step == step],
            times=whole.times[2 * step : 2 * step + 2],
        )
        rows.add(part)
        found |= rows.take(rows.complete)
    found |= rows.take_rest()
    assert found == taken_at_once(whole)


def test_a_report_that_comes_late_counts_towards_the_next_step_so_that_sums_are_exact() -> None:
    rows = StepRows()
    learner = [learner_step(1, id="1000-0"), learner_step(2, id="2000-0")]
    rows.add(Reports(learner=learner, outputs=[actor_output(0, id="500-0")]))
    found = rows.take(rows.complete)
    rows.add(
        Reports(
            outputs=[actor_output(version, id=f"2{version}00-0") for version in (0, 1, 2)],
            groups=[ended(3, step=1)],
            times=[role_times("actor-0", id="900-0", work=0.5)],
        )
    )
    found |= rows.take_rest()
    tokens = {step: row.get("actors/tokens") for step, row in found.items()}
    assert tokens == {0: 8000, 1: None, 2: 24_000}
    assert (found[2]["groups/successes/unguided"], found[2]["success/unguided"]) == (3, 3 / 8)
    assert found[2]["times/seconds/work/actor"] == 0.5


def test_a_step_that_a_restarted_learner_reports_again_is_not_taken_again() -> None:
    rows = StepRows()
    rows.add(Reports(learner=[learner_step(step, id=f"{step}000-0") for step in (1, 2, 3)]))
    assert list(rows.take(rows.complete)) == [1, 2]
    rows.add(Reports(learner=[learner_step(step, id=f"{step}500-0") for step in (2, 3, 4)]))
    assert list(rows.take(rows.complete)) == [3]


def test_what_was_written_before_is_skipped_and_the_rest_is_kept() -> None:
    whole = full_reports()
    all_rows = taken_at_once(whole)
    for written in range(5):
        rows = StepRows()
        rows.add(whole, [sft_step(1)])
        rows.skip(written)
        assert rows.take_rest() == {step: row for step, row in all_rows.items() if step >= written}


def test_the_time_of_a_role_belongs_to_the_step_that_ends_next() -> None:
    rows = StepRows()
    early, late = role_times("actor-0", id="1500-0", work=1.0), role_times("actor-0", id="2500-0", work=2.0)
    rows.add(Reports(learner=[learner_step(1, id="1000-0")], times=[early, late]))
    rows.add(Reports(learner=[learner_step(2, id="2000-0"), learner_step(3, id="3000-0")]))
    found = rows.take_rest()
    assert [found[step].get("times/seconds/work/actor", 0.0) for step in (1, 2, 3)] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_left_out(value: float) -> None:
    rows = StepRows()
    rows.add(Reports(learner=[learner_step(1, grad_norm=value, id="1000-0")]))
    (row,) = rows.take_rest().values()
    assert "grad/norm" not in row
    assert "loss/mean" in row
