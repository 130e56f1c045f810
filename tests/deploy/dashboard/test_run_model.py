"""The model of a run read from a real Redis, and what a viewer has after all changes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from broker.balance import read_balance
from broker.keys import Keys
from broker.ledger import Ledger
from deploy.dashboard.run_model import RunModel
from deploy.dashboard.views import Change
from deploy.statistics.transfer import transfer
from deploy.store import metric_files
from deploy.store.run_folder import RunFolder
from deploy.store.run_view import LiveView
from tests.deploy.dashboard.live import NOON_S, replayed, replayed_model, settings
from tests.replay import synthetic_recording
from tests.reports import learner_step, note


@pytest.fixture
def model(client: redis.Redis, keys: Keys, run_name: str) -> RunModel:
    return replayed_model(client, keys, run_name)


def test_the_numbers_are_those_in_redis(client: redis.Redis, keys: Keys, model: RunModel) -> None:
    live, balance = model.live(), read_balance(client, keys)
    assert (live.step, live.state, live.balance.holds) == (12, "live", True)
    assert live.balance.issued == balance.issued == int(client.hget(keys.counters, "issued") or 0)
    assert live.balance.trained == balance.trained == 12 * 8
    assert live.balance.filtered == balance.filtered
    assert sum(slot.samples for slot in live.ring) == balance.ring_samples
    assert [slot.group_id for slot in live.ring] == [int(o) for o in client.zrange(keys.ring, 0, -1)]
    assert live.num_hard == 24
    expected = transfer(Ledger(client, keys).rows())
    assert expected is not None
    assert live.transfer == expected.counts()
    assert {role.name: role.version for role in live.roles} == {"actor-0": 12, "learner-0": None, "preprocess-0": None}
    assert {row.reason: row.groups for row in live.balance.drops}["kept"] + balance.replaced >= balance.trained
    assert live.alerts == []


def test_a_live_run_says_where_its_time_goes(model: RunModel) -> None:
    live = model.live()
    assert live.bottleneck == (
        "learner waits 46%: engines are slower and paused 10% for weights; raise weights.every_steps or add an actor"
    )
    assert live.times["learner"] == pytest.approx({"work": 0.45, "wait_input": 0.46, "other": 0.09})
    assert live.times_described["actor"] == "sampling 90%, paused for weights 3%, canary 7%"
    assert live.memory_mib == {"learner-0": 100.0, "actor-0": 100.0}


def test_changes_add_up_to_the_whole_picture(client: redis.Redis, keys: Keys, run_name: str) -> None:
    replay = replayed(client, run_name, until=NOON_S / 2)
    reader, model = LiveView(client, keys), RunModel(settings(run_name))
    model.add(reader.refresh())
    seen = Viewer(model.whole())
    model.change()
    for n in range(3):
        replay.metrics.report(learner_step(6 + n, entropy=0.1 * n))
        group = synthetic_recording().reports.groups[n]
        replay.metrics.report(msgspec.structs.replace(group, problem_id=f"new{n}", completion_tokens=80))
        model.add(reader.refresh())
        seen.take(model.change())
    assert seen == Viewer(model.whole())
    assert "new2" in seen.ids
    assert model.change().steps.rows == []


def test_a_late_reader_gets_reports_that_redis_dropped_from_the_run_folder(
    client: redis.Redis, keys: Keys, run_name: str, tmp_path: Path
) -> None:
    replay = replayed(client, run_name, until=NOON_S / 2)
    folder = RunFolder(tmp_path)
    folder.metrics.mkdir()
    for room in metric_files.ROOMS:
        metric_files.MetricFile(metric_files.path_of(folder.metrics, room), replay.metrics).follow()
    whole = LiveView(client, keys).refresh()
    for room in metric_files.ROOMS:
        client.xtrim(keys.metrics(room), maxlen=2, approximate=False)
    late = LiveView(client, keys, folder)
    assert late.refresh().reports == whole.reports
    assert not late.refresh().reports
    replay.metrics.report(learner_step(6))
    assert [report.step for report in late.refresh().reports.learner] == [6]


class Viewer:
    """What a page keeps: rows by step, problems and cells."""

    def __init__(self, whole: Change) -> None:
        self.rows: dict[float, dict[str, float]] = {}
        self.ids: list[str] = []
        self.cells: list[Any] = []
        self.take(whole)

    def take(self, change: Change) -> None:
        for row in change.steps.rows:
            named = dict(zip(change.steps.columns, row, strict=True))
            self.rows[row[0] or 0] = {name: value for name, value in named.items() if value is not None}
        self.ids += change.heat.ids
        self.cells += change.heat.cells

    def __eq__(self, other: object) -> bool:
        return vars(self) == vars(other)


def test_a_second_refresh_returns_only_new_reports(client: redis.Redis, keys: Keys, run_name: str) -> None:
    replay = replayed(client, run_name, until=NOON_S / 2)
    reader = LiveView(client, keys)
    assert len(reader.refresh().reports.learner) == 5
    assert not reader.refresh().reports
    replay.metrics.report(note("actor-0 died; restart 1"))
    (noted,) = reader.refresh().reports.notes
    assert noted.note == "actor-0 died; restart 1"


def test_the_state_of_a_run(client: redis.Redis, keys: Keys, run_name: str) -> None:
    replay = replayed(client, run_name, until=NOON_S / 4)
    reader, model = LiveView(client, keys), RunModel(settings(run_name))
    model.add(reader.refresh())
    assert (model.live().state, model.live("refused").state) == ("live", "away")
    assert model.live("refused").alerts[0].title == "Redis does not answer"
    replay.control.stop("all done")
    model.add(reader.refresh())
    assert (model.live().state, model.live().ended, model.live().tokens_per_s) == ("ended", "all done", None)


def test_every_view_survives_json(model: RunModel) -> None:
    whole = model.whole()
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Change) == whole
