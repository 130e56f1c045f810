"""The application: its answers, who gets them, and the cost of twenty viewers."""

import asyncio
import re
import time
from typing import Any

import pytest
import redis

from broker.errors import BrokerUnreachable
from broker.keys import Keys
from conf.load import load, settings_hash
from deploy.cluster.secret_environment import TOKEN_VARIABLE
from deploy.dashboard import broadcast as hub_module
from deploy.dashboard.app import dashboard_app
from deploy.dashboard.broadcast import Hub
from deploy.dashboard.guard import COOKIE, is_loopback
from deploy.dashboard.serve import token_for
from tests.deploy.dashboard.live import HOSTILE, NOON_S, asking, next_message, opened, replayed, settings, until
from tests.replay import Replay, synthetic_recording
from tests.reports import learner_step


@pytest.fixture
def replay(client: redis.Redis, run_name: str) -> Replay:
    return replayed(client, run_name, until=NOON_S)


@pytest.fixture
def hub(redis_url: str, run_name: str, replay: Replay) -> Hub:
    return Hub(opened(redis_url, run_name))


def test_the_page_and_its_data(hub: Hub, run_name: str) -> None:
    async def ask() -> None:
        async with asking(dashboard_app(hub)) as client:
            page = await client.get("/")
            assert page.status_code == 200
            assert "script-src 'self'" in page.headers["content-security-policy"]
            assert (await client.get("/api/runs")).json() == [run_name]
            cards = (await client.get("/api/cards")).json()
            assert cards[run_name]["live"]["step"] == 10
            found = (await client.get(f"/api/runs/{run_name}/problem", params={"id": "p000"})).json()
            assert found["history"]
            assert found["rollouts"][0]["problem"] == "p000"
            assert (await client.get("/api/runs/nobody/problem?id=p000")).status_code == 404
            assert (await client.get("/assets/main.js")).headers["content-type"].startswith("text/javascript")
            assert (await client.get("/assets/../app.py")).status_code == 404
            assert (await client.get("/assets/%2e%2e/app.py")).status_code == 404

    asyncio.run(ask())


def test_a_viewer_gets_the_whole_state_first_and_then_changes(
    hub: Hub, run_name: str, replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "TICK_S", 0.05)

    report = learner_step(11, entropy=0.125)

    async def look() -> None:
        async with hub:
            viewer = hub.watch(run_name)
            first = await next_message(viewer)
            assert first["whole"]
            assert first["live"]["step"] == 10
            again = await next_message(viewer)
            assert (again["whole"], again["heat"]["cells"]) == (False, [])
            await asyncio.to_thread(replay.metrics.report, report)
            while not (change := await next_message(viewer))["steps"]["rows"]:
                pass
            assert not change["whole"]
            row = dict(zip(change["steps"]["columns"], change["steps"]["rows"][0], strict=True))
            assert (row["step"], row["entropy"]) == (11, 0.125)
            await viewer.aclose()

    asyncio.run(look())


def test_twenty_viewers_share_one_reader(hub: Hub, run_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is read as often as for one viewer, and every change is encoded once."""
    monkeypatch.setattr(hub_module, "TICK_S", 0.05)
    source = hub.sources[run_name]
    looks: list[float] = []
    look = source.read

    def counted() -> Any:
        looks.append(time.monotonic())
        return look()

    monkeypatch.setattr(source, "read", counted)

    async def watch() -> list[set[int]]:
        async with hub:
            viewers = [hub.watch(run_name) for _ in range(20)]
            received = []
            for _ in range(5):
                received.append({id(event) for event in await asyncio.gather(*(anext(viewer) for viewer in viewers))})
            for viewer in viewers:
                await viewer.aclose()
            return received

    received = asyncio.run(watch())
    assert [len(objects) for objects in received] == [1] * 5
    assert len(looks) <= 7


def test_a_viewer_that_does_not_keep_up_is_disconnected(
    hub: Hub, run_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "TICK_S", 0.01)
    monkeypatch.setattr(hub_module, "MAX_QUEUED_MESSAGES", 3)

    async def sleep_through() -> int:
        async with hub:
            viewer = hub.watch(run_name)
            await anext(viewer)
            (queue,) = hub._viewers[run_name]
            await until(lambda: queue.qsize() == 1 and queue._queue[0] is None)  # type: ignore[attr-defined]
            return len([event async for event in viewer])

    assert asyncio.run(sleep_through()) == 0


def test_the_page_shows_that_redis_is_away_and_recovers(
    hub: Hub, run_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "TICK_S", 0.05)
    monkeypatch.setattr(hub_module, "ENDED_TICK_S", 0.05)
    source = hub.sources[run_name]
    connect, read = source.connect, source.read

    def refused() -> Any:
        raise BrokerUnreachable("refused")

    def disconnect_and_read() -> Any:
        # In the thread that reads: a connection that another thread closes may raise any error.
        source.close()
        return read()

    async def interrupted() -> list[str]:
        states = []
        async with hub:
            viewer = hub.watch(run_name)
            states.append((await next_message(viewer))["live"]["state"])
            monkeypatch.setattr(source, "connect", refused)
            monkeypatch.setattr(source, "read", disconnect_and_read)
            while (change := await next_message(viewer))["live"]["state"] != "away":
                pass
            states.append(change["live"]["state"])
            assert change["live"]["step"] == 10
            monkeypatch.setattr(source, "read", read)
            monkeypatch.setattr(source, "connect", connect)
            while not (change := await next_message(viewer))["whole"]:
                pass
            states.append(change["live"]["state"])
            await viewer.aclose()
        return states

    assert asyncio.run(interrupted()) == ["live", "away", "live"]
    assert hub.failure is None


def test_hostile_output_is_sent_unchanged_as_json(
    client: redis.Redis, redis_url: str, run_name: str
) -> None:
    replay = Replay(client, settings(run_name), write=lambda group_id: HOSTILE)
    replay.open()
    replay.run(synthetic_recording(steps=2))
    replay.samples.add(
        {"problem": "p000", "arm": "guided", "verdict": "wrong", "version": 1, "prompt": "p", "completion": "x" * 10**6}
    )
    hub = Hub(opened(redis_url, run_name))

    async def ask() -> None:
        async with asking(dashboard_app(hub)) as http:
            answer = await http.get(f"/api/runs/{run_name}/problem", params={"id": "p000"})
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
            newest, *others = answer.json()["rollouts"]
            assert len(newest["rest"]) == 32_768
            assert "".join(token[0] for token in others[0]["tokens"]) == HOSTILE

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8600", 200), ("127.0.0.1:8600", 200), ("[::1]:8600", 200), ("evil.example:8600", 421), ("", 421)],
)
def test_without_a_token_only_requests_to_a_loopback_name_are_answered(hub: Hub, host: str, status: int) -> None:
    async def ask() -> int:
        async with asking(dashboard_app(hub), host=host) as client:
            return (await client.get("/api/runs")).status_code

    assert asyncio.run(ask()) == status


def test_with_a_token_only_requests_that_carry_it_are_answered(hub: Hub) -> None:
    async def ask() -> None:
        async with asking(dashboard_app(hub, "s3cret"), host="trainer.example") as client:
            for path in ("/", "/api/runs", "/metrics", "/assets/main.js", "/?token=wrong", "/?token="):
                assert (await client.get(path)).status_code == 401, path
            assert (await client.get("/metrics", headers={"Authorization": "Bearer s3cret"})).status_code == 200
            answer = await client.get("/?token=s3cret")
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            assert "httponly" in answer.headers["set-cookie"].lower()
            assert client.cookies[COOKIE] == "s3cret"
            assert (await client.get("/api/runs")).status_code == 200

    asyncio.run(ask())


def test_a_token_is_generated_unless_the_address_is_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert token_for("127.0.0.1") is None
    assert token_for("localhost") is None
    first, second = token_for("192.168.1.5"), token_for("192.168.1.5")
    assert first != second
    assert len(first or "") == len(second or "") > 30
    monkeypatch.setenv(TOKEN_VARIABLE, "mine")
    assert token_for("127.0.0.1") == token_for("::") == "mine"
    assert is_loopback("127.8.9.1")
    assert not is_loopback("trainer.example")


def test_the_prometheus_metrics_are_the_counters_in_redis(
    hub: Hub, run_name: str, client: redis.Redis, keys: Keys
) -> None:
    async def ask() -> str:
        async with asking(dashboard_app(hub)) as http:
            return (await http.get("/metrics")).text

    lines = asyncio.run(ask()).splitlines()
    values = {m[1]: float(m[2]) for line in lines if (m := re.fullmatch(r"([^# ].*\}) (\S+)", line))}
    counters = {name.decode(): int(value) for name, value in client.hgetall(keys.counters).items()}
    assert values[f'pope_groups_issued_total{{run="{run_name}"}}'] == counters["issued"]
    assert values[f'pope_groups_total{{end="trained",reason="",run="{run_name}"}}'] == counters["trained"]
    assert values[f'pope_tokens_total{{kind="completion",run="{run_name}"}}'] == counters["completion_tokens"]
    assert values[f'pope_redis_up{{run="{run_name}"}}'] == 1
    assert values[f'pope_newest{{run="{run_name}",what="ess"}}'] == 0.97
    assert values[f'pope_role_time_share{{kind="learner",phase="wait_input",run="{run_name}"}}'] == pytest.approx(0.46)
    assert values[f'pope_role_memory_bytes{{role="actor-0",run="{run_name}"}}'] == 100 * 2**20


def test_dashboard_settings_do_not_change_the_settings_hash() -> None:
    assert settings_hash(load(None, ["dashboard=true", "dashboard_port=0"])) == settings_hash(load(None, []))
