"""The files that keep all reports of a run."""

import json
import math
import resource
from pathlib import Path

import pytest
import redis

from broker.errors import UsageError
from broker.keys import Keys
from broker.metrics import Metrics
from broker.reports import LearnerStep, as_text, with_numbers
from deploy.store.metric_files import MetricFile, read_reports
from tests.reports import ended, learner_step


@pytest.fixture
def metrics(client: redis.Redis, keys: Keys) -> Metrics:
    return Metrics(client, keys, keep=100)


def numbers(folder: Path, metrics: Metrics | None = None) -> list[int]:
    return [report.step for report in read_reports(folder, LearnerStep, metrics)]


def follow(file: MetricFile) -> list[int]:
    return [int(entry["step"]) for entry in file.follow()]


def test_the_file_keeps_the_reports_that_redis_dropped(tmp_path: Path, metrics: Metrics) -> None:
    file = MetricFile(tmp_path / "learner.jsonl", metrics)
    for n in range(1000):
        metrics.report(learner_step(n))
        if n % 90 == 0:
            file.follow()
    assert numbers(tmp_path)[-1] < 999
    assert numbers(tmp_path, metrics) == list(range(1000))
    assert len(metrics.read(LearnerStep)) < 500
    file.follow()
    assert numbers(tmp_path) == list(range(1000))


def test_a_room_that_reports_nothing_leaves_an_empty_file(tmp_path: Path, metrics: Metrics) -> None:
    assert follow(MetricFile(tmp_path / "learner.jsonl", metrics)) == []
    assert (tmp_path / "learner.jsonl").read_bytes() == b""


def test_the_next_incarnation_continues_after_a_torn_line(tmp_path: Path, metrics: Metrics) -> None:
    path = tmp_path / "learner.jsonl"
    metrics.report(learner_step(0))
    assert follow(MetricFile(path, metrics)) == [0]
    metrics.report(learner_step(1))
    with path.open("ab") as torn:
        torn.write(b'{"id":"99-0","n"')
    assert numbers(tmp_path) == [0]
    file = MetricFile(path, metrics)
    assert numbers(tmp_path) == [0]
    assert follow(file) == [1]
    assert follow(file) == []
    assert numbers(tmp_path) == [0, 1]


@pytest.mark.parametrize("content", [b"", b'{"id":"5-0"'])
def test_a_file_without_a_whole_line_is_started_again(tmp_path: Path, metrics: Metrics, content: bytes) -> None:
    (tmp_path / "learner.jsonl").write_bytes(content)
    metrics.report(learner_step(0))
    assert follow(MetricFile(tmp_path / "learner.jsonl", metrics)) == [0]
    assert numbers(tmp_path) == [0]


@pytest.mark.parametrize("content", [b"no report\n", b'{"n":"1"}\n', b"\n", b'{"id":"1-0","n":[2]}\n'])
def test_a_damaged_file_is_named(tmp_path: Path, metrics: Metrics, content: bytes) -> None:
    (tmp_path / "learner.jsonl").write_bytes(b'{"id":"1-0","n":"0"}\n' + content)
    with pytest.raises(UsageError, match=r"learner\.jsonl is damaged: the last line .*move it away"):
        MetricFile(tmp_path / "learner.jsonl", metrics)
    with pytest.raises(UsageError, match=r"learner\.jsonl is damaged: line 2 .*move it away"):
        numbers(tmp_path)


def test_reports_that_a_full_disk_refused_are_written_later_and_once(
    tmp_path: Path, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "learner.jsonl"
    file = MetricFile(path, metrics)
    metrics.report(learner_step(0))
    assert follow(file) == [0]
    metrics.report(learner_step(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, limits[1]))  # room for a part of the line
    try:
        assert (follow(file), follow(file)) == ([], [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caplog.text.count("cannot be written, will be retried") == 1
    assert numbers(tmp_path) == [0]
    assert follow(file) == [1]
    assert numbers(tmp_path) == [0, 1]


def test_numbers_are_numbers_in_the_file_and_what_json_has_no_number_for_is_text(
    tmp_path: Path, metrics: Metrics
) -> None:
    report = learner_step(1, loss=0.1, grad_norm=float("nan"), lag_histogram={0: 5, 1: 7}, reward_mean={"guided": 0.5})
    metrics.report(report)
    MetricFile(tmp_path / "learner.jsonl", metrics).follow()
    line = json.loads((tmp_path / "learner.jsonl").read_text())
    assert (line["step"], line["loss/mean"], line["reward/guided/mean"]) == (1, 0.1, 0.5)
    assert (line["grad/norm"], line["lag/histogram"]) == ("nan", "0:5 1:7")
    (again,) = read_reports(tmp_path, LearnerStep)
    assert again.loss == report.loss
    assert math.isnan(again.grad_norm)
    assert again.lag_histogram == report.lag_histogram


def test_names_that_look_like_numbers_stay_names() -> None:
    end = ended(1, problem_id="007", actor="1e3")
    assert {name: with_numbers("groups", as_text(end))[name] for name in ("problem_id", "actor")} == {
        "problem_id": "007",
        "actor": "1e3",
    }
