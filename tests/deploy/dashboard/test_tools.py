"""Grafana, Prometheus and docs/redis_keys.md match what the product writes."""

import json
import re
from typing import Any

import redis
import yaml

from broker import keys as keys_module
from broker.keys import Keys
from deploy.dashboard.app import ASSETS
from deploy.dashboard.prometheus import exposition
from deploy.view import palette as colours
from tests.deploy.dashboard.live import opened, replayed
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


def test_arms_have_the_same_colours_on_the_page_as_in_figures() -> None:
    (table,) = re.findall(r"const ARMS = \{(.*?)\}", (ASSETS / "colours.js").read_text())
    assert dict(re.findall(r'(\w+): "(#\w+)"', table)) == {arm: colour.lower() for arm, colour in colours.ARMS.items()}
