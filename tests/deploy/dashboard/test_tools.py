"""Grafana, Prometheus, TensorBoard, Weights & Biases and docs/redis_keys.md match what the product writes."""

import json
import re
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
import yaml

from broker import keys as keys_module
from broker.errors import UsageError
from broker.keys import Keys
from broker.reports import to_fields
from deploy.dashboard.app import ASSETS
from deploy.dashboard.exporting import export, exported_rows
from deploy.dashboard.prometheus import exposition
from deploy.dashboard.run_model import RunModel
from deploy.store.run_view import LiveView
from deploy.store.step_numbers import Rows
from deploy.view import palette as colours
from tests.deploy.dashboard.live import opened, replayed, replayed_model
from tests.runs import REPOSITORY

GRAFANA = REPOSITORY / "deploy" / "dashboard" / "grafana"
COMMAND_TYPES = {"hgetall": "hash", "xrevrange": "stream", "xlen": "stream"}
"""Command of Grafana's Redis data source -> type of the keys it reads."""


def targets(kind: str) -> list[dict[str, Any]]:
    panels = json.loads((GRAFANA / "pope.json").read_text())["panels"]
    found = [target for panel in panels for target in panel.get("targets", [])]
    return [target for target in found if target["datasource"]["type"] == kind]


def all_keys(name: str) -> set[str]:
    keys = Keys(name)
    own = {value for attribute, value in vars(keys).items() if attribute != "prefix"}
    rooms = ("actors", "preprocess", "learner", "sft", "groups", "times", "deploy")
    return own | {keys.metrics(room) for room in rooms}


def test_grafana_queries_redis_keys_that_exist(client: redis.Redis, run_name: str) -> None:
    replayed(client, run_name, until=23.2)  # a moment at which groups wait in the ring
    asked = targets("redis-datasource")
    assert len(asked) >= 6
    for target in asked:
        key = target["keyName"].replace("${run}", run_name)
        assert key in all_keys(run_name), key
        assert client.type(key).decode() == COMMAND_TYPES[target["command"]], key


def test_grafana_queries_prometheus_metrics_that_exist(client: redis.Redis, redis_url: str, run_name: str) -> None:
    replayed(client, run_name)
    (source,) = opened(redis_url, run_name)
    text = exposition([source]).decode()
    source.close()
    series = set(re.findall(r"^(pope_\w+)\{(.*)\} ", text, flags=re.MULTILINE))
    asked = targets("prometheus")
    assert len(asked) >= 14
    for target in asked:
        (name, selectors) = re.search(r"(pope_\w+)\{([^}]*)\}", target["expr"]).groups()  # type: ignore[union-attr]
        wanted = [pair.replace("$run", run_name) for pair in selectors.split(",")]
        matching = [labels for known, labels in series if known == name and all(pair in labels for pair in wanted)]
        assert matching, target["expr"]
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert all(f'{label}="' in labels for labels in matching), target["legendFormat"]


def test_provisioning_names_the_data_sources_the_dashboard_uses() -> None:
    provided = yaml.safe_load((GRAFANA / "provisioning" / "datasources.yaml").read_text())["datasources"]
    used = {(target["datasource"]["type"], target["datasource"]["uid"]) for kind in ("prometheus", "redis-datasource")
            for target in targets(kind)}  # fmt: skip
    assert {(source["type"], source["uid"]) for source in provided} == used
    assert yaml.safe_load((GRAFANA / "provisioning" / "dashboards.yaml").read_text())["providers"]


def test_the_page_of_keys_lists_exactly_the_keys_in_use() -> None:
    page = (REPOSITORY / "docs" / "redis_keys.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}
    assert listed == {key.removeprefix(Keys("x").prefix) for key in all_keys("x")}


def test_the_page_of_keys_and_the_code_agree_on_types() -> None:
    page = (REPOSITORY / "docs" / "redis_keys.md").read_text()
    source = keys_module.__doc__ or ""
    for row in (line for line in page.splitlines() if line.startswith("| `")):
        names, kind = re.findall(r"`([^`]+)`", row.split("|")[1]), row.split("|")[2].strip()
        for name in names:
            in_code = "metrics:ROOM" if name.startswith("metrics:") else re.sub(r"^ledger:\w+s?$", "ledger:", name)
            said = re.search(rf"pope:\{{name\}}:{re.escape(in_code)}.*?\b(string|hash|zset|set|list|stream)\b", source)
            assert said, name
            assert said[1] == kind, name


@pytest.fixture
def model(client: redis.Redis, keys: Keys, run_name: str) -> RunModel:
    return replayed_model(client, keys, run_name)


def test_tensorboard_files_hold_every_number_of_every_step(
    model: RunModel, client: redis.Redis, keys: Keys, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboardX", reason="make setup installs it")
    from tensorboardX.proto.event_pb2 import Event

    rows = exported_rows(LiveView(client, keys).refresh().reports)
    assert export(model.config, rows, "tensorboard", tmp_path / "tb") == len(rows)
    (file,) = (tmp_path / "tb").glob("events.out.tfevents.*")
    content, start, found = file.read_bytes(), 0, {}
    while start < len(content):  # a record: length, its checksum, data, its checksum
        (length,) = struct.unpack_from("<Q", content, start)
        event = Event.FromString(content[start + 12 : start + 12 + length])
        found |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
        start += 16 + length
    expected = {(step, name): value for step, row in rows.items() for name, value in row.items()}
    assert found == pytest.approx(expected, rel=1e-6)


def test_every_number_of_every_report_is_exported_under_its_one_name(
    model: RunModel, client: redis.Redis, keys: Keys
) -> None:
    reports = LiveView(client, keys).refresh().reports
    rows = exported_rows(reports)
    names = {name for row in rows.values() for name in row}
    for report in reports.learner:
        wire = {name: value for name, value in to_fields(report).items() if not isinstance(value, str)}
        del wire["step"]
        assert wire.items() <= rows[report.step].items()
    of_groups = {name for name in to_fields(reports.groups[0]) if name not in ("ordinal", "step", "oldest_version")}
    numbers = {name for name in of_groups if not isinstance(to_fields(reports.groups[0])[name], str)}
    assert {f"groups/{name}/{reports.groups[0].arm}" for name in numbers} <= names
    rollouts = sum(group.rollouts for group in reports.groups)
    counted = [value for row in rows.values() for name, value in row.items() if name.startswith("groups/rollouts/")]
    assert sum(counted) == rollouts
    for other in (*reports.syncs, *reports.preprocess):
        wire_names = {n for n, v in to_fields(other).items() if "/" in n and not isinstance(v, str)} - {"sync/version"}
        assert wire_names <= names


def test_every_step_is_logged_to_weights_and_biases(
    model: RunModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Any] = []
    rows: Rows = {1: {"loss/mean": 0.5}, 2: {"loss/mean": 0.25}}
    run = SimpleNamespace(log=lambda scalars, step: events.append((step, scalars)), finish=lambda: events.append("end"))

    def init(**settings: Any) -> SimpleNamespace:
        events.append(settings)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    export(model.config, rows, "wandb", tmp_path, "demo-1f")
    opened_with, *logged, end = events
    assert opened_with["name"] == model.config.run.name
    assert opened_with["config"]["learner"]["learning_rate"] == model.config.learner.learning_rate
    assert (opened_with["project"], opened_with["id"], opened_with["resume"]) == ("mine", "demo-1f", "allow")
    assert dict(logged) == rows
    assert end == "end"


@pytest.mark.parametrize(("target", "library"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_missing_library_is_named_with_the_remedy(
    model: RunModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: Any, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=f"pip install {library}"):
        export(model.config, {}, target, tmp_path)


def test_arms_have_the_same_colours_on_the_page_as_in_figures() -> None:
    (table,) = re.findall(r"const ARMS = \{(.*?)\}", (ASSETS / "colours.js").read_text())
    assert dict(re.findall(r'(\w+): "(#\w+)"', table)) == {arm: colour.lower() for arm, colour in colours.ARMS.items()}
