"""Every number of a run as a series, checked by hand and against `pope export`."""

from typing import Any

import msgspec
import numpy as np
import pytest

from actors.evaluation.results import Result
from broker.reports import KINDS, PLACES, LearnerStep, RoleTimes
from deploy.dashboard.metric_series import MOST_POINTS, MetricSeries, extremes
from deploy.dashboard.steps import Steps
from deploy.loggers.step_rows import StepRows
from deploy.store.metric_catalogue import FIELDS, OTHER, metric_of
from deploy.store.run_view import Reports
from tests.replay import synthetic_recording
from tests.reports import learner_step, role_times


def added(*parts: Reports, **fields: Any) -> MetricSeries:
    """The series of reports that came in parts; the run is over with the last."""
    steps = Steps()
    metrics = MetricSeries(steps, ks=(1, 4))
    for reports in parts:
        steps.add_groups(reports.groups)
        steps.add_outputs(reports.outputs)
        metrics.add(reports, fields.get("evaluations", {}), over=reports is parts[-1])
    return metrics


def test_every_number_of_the_reports_has_a_group_and_a_unit() -> None:
    texts = {"id", "actor", "worker", "role", "problem_id", "arm", "bucket", "outcome", "watchdog"}
    for kind in KINDS:
        if kind in FIELDS:
            numbers = {f.name for f in msgspec.structs.fields(kind) if f.encode_name not in PLACES} - texts
            assert numbers == FIELDS[kind].keys(), kind


def test_the_series_are_the_numbers_of_an_export() -> None:
    reports = synthetic_recording(steps=6).reports
    metrics = added(reports)
    numbers = StepRows()
    numbers.add(reports)
    rows = numbers.take_rest()
    exported = {(name, step): value for step, row in rows.items() for name, value in row.items()}
    shown = {
        (each.name, step): value
        for each in metrics.names()
        for series in [metrics.series(each.name)]
        for step, value in zip(series.steps, series.values, strict=True)
    }
    assert shown == pytest.approx(exported)
    assert OTHER not in {each.group for each in metrics.names()}


def test_reports_in_parts_give_the_same_series_as_at_once() -> None:
    whole = synthetic_recording(steps=6).reports
    moments = sorted({report.unix_s for report in (*whole.times, *whole.learner, *whole.groups)})
    parts, since = [], 0.0
    for until in (*moments[2::9], float("inf")):
        named = {name: [r for r in kind if since < r.unix_s <= until] for name, kind in vars(whole).items()}
        parts.append(Reports(**named))
        since = until
    assert len(parts) > 5
    once, by_parts = added(whole), added(*parts)
    assert by_parts.names() == once.names()
    for each in once.names():
        expected = once.series(each.name)
        assert by_parts.series(each.name).values == pytest.approx(expected.values), each.name


def test_numbers_that_differ_in_an_arm_or_a_stage_are_lines_of_one_chart() -> None:
    report = learner_step(1, reward_mean={"guided": 0.5}, gradient_cosine={"hard/easy": 0.1})
    times = role_times("learner-0", id="1-0", work=1.0)
    names = added(Reports(learner=[msgspec.structs.replace(report, id="2-0")], times=[times])).names()
    found = {(each.family, each.line) for each in names}
    wire = {field.name: field.encode_name for field in msgspec.structs.fields(LearnerStep)}
    assert (wire["reward_mean"], "guided") in found
    assert (wire["gradient_cosine"], "hard/easy") in found
    assert (wire["lag_histogram"] + "/*", "2") in found
    assert (wire["loss"], "") in found
    seconds = {field.name: field.encode_name for field in msgspec.structs.fields(RoleTimes)}["seconds"]
    assert (f"{seconds}/learner", "work") in found
    assert metric_of("of another version").group == OTHER


def test_an_evaluation_is_a_series_at_its_steps() -> None:
    def result(correct: int) -> Result:
        counts = {"correct": correct, "wrong": 4 - correct}
        return Result(
            problem_id=f"p{correct}", source="s", samples=4, verdicts=counts, truncated=0, completion_tokens=4,
            longest_completion_tokens=1, policy_version=0,
        )  # fmt: skip

    metrics = added(Reports(), evaluations={20: [result(0), result(2)], 10: [result(0)]})
    assert [(each.name, each.unit) for each in metrics.names()] == [
        ("evaluation/pass@1", "share solved, unguided"), ("evaluation/pass@4", "share solved, unguided"),
    ]  # fmt: skip
    found = metrics.series("evaluation/pass@1")
    assert (found.steps, found.values) == ([10, 20], [0.0, 0.25])  # (0/4 + 2/4) / 2


def test_a_long_series_keeps_its_spikes_and_a_part_of_it_is_shown_whole() -> None:
    entropies = [9.0 if step == 4321 else step / 1e4 for step in range(1, 10_001)]
    learner = [learner_step(step, id=f"{step}-0", entropy=each) for step, each in enumerate(entropies, start=1)]
    metrics = added(Reports(learner=learner))
    name = {field.name: field.encode_name for field in msgspec.structs.fields(LearnerStep)}["entropy"]
    whole, part = metrics.series(name), metrics.series(name, 4300, 4399)
    assert (len(whole.steps), whole.known) == (MOST_POINTS, 10_000)
    assert max(whole.values) == 9.0
    assert whole.steps == sorted(whole.steps)
    assert (part.steps[0], len(part.steps), part.known) == (4300, 100, 100)
    assert metrics.series("unknown").steps == []


def test_of_each_part_the_smallest_and_the_largest_value_are_kept() -> None:
    assert extremes(np.array([3.0, 1.0, 2.0, 5.0, 5.0, 4.0]), 4).tolist() == [0, 1, 3, 5]
    assert extremes(np.array([3.0, 1.0]), 4).tolist() == [0, 1]
