"""Groups that actors send to a sampling stage, unusable ones included."""

from pathlib import Path

import pytest

from actors.evaluation.results import Result
from broker.connection import Client
from broker.feed import Feed
from broker.keys import Keys
from broker.records import Task, encode
from conf.schema import RunConfig
from deploy.stages.collector import Collector
from tests.groups import rollout_group


class Plan:
    """Wants two problems, and records what it is told."""


    largest_task = 2
    num_problems = 2

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    @property
    def num_done(self) -> int:
        return len(self.events)

    def tasks(self) -> list[Task]:
        return [Task(problem_id=f"p{n}", arm="unguided") for n in range(2)]

    def record(self, task: Task, result: Result) -> None:
        self.events.append((task.problem_id, "recorded"))

    def fail(self, task: Task, reason: str) -> None:
        self.events.append((task.problem_id, reason))


def collecting(client: Client, keys: Keys, plan: Plan, folder: Path) -> Collector:
    config = RunConfig()
    attempts, retry_s = config.actors.max_attempts, config.deploy.dead_after_s
    return Collector(client, keys, plan, folder / "stage", source="hard", max_attempts=attempts, retry_s=retry_s)


@pytest.mark.parametrize(
    "frame",
    [b"poison", encode(rollout_group(7)), encode(rollout_group(0, problem_id="another"))],
    ids=["unreadable", "nobody asked for it", "another problem"],
)
def test_poison_fails_its_own_task_and_the_stage_goes_on(
    client: Client, keys: Keys, tmp_path: Path, frame: bytes
) -> None:
    plan, feed = Plan(), Feed(client, keys)
    with collecting(client, keys, plan, tmp_path) as collector:
        collector.step(0.0)
        for group_id in range(2):
            token = f"a/{group_id}"
            assert feed.claim(token, held_version=0, batch_groups=1, max_lag=None, lease_s=60, high_water=9) == group_id
            assert feed.publish(group_id, token, rollout_group(group_id))
        ((first, _), _) = client.xrange(keys.rollouts)
        client.xdel(keys.rollouts, first)
        client.xadd(keys.rollouts, {"ordinal": "0", "group": frame})
        for _ in range(3):
            collector.step(0.0)
        collector.check_failures()
    assert sorted(plan.events) == [("p0", "unreadable"), ("p1", "recorded")]
    assert client.xlen(keys.rollouts) == 0
    assert collector.num_rollouts == 2


def test_the_leases_of_a_stage_that_was_killed_have_aged_when_it_is_resumed(
    client: Client, keys: Keys, tmp_path: Path
) -> None:
    feed = Feed(client, keys)
    asked = {"held_version": 0, "batch_groups": 1, "max_lag": None, "lease_s": 60, "high_water": 9}
    with collecting(client, keys, Plan(), tmp_path) as killed:
        killed.step(0.0)
        assert feed.claim("dead/0", **asked) == 0
        killed.check_failures()
    # It is resumed 100 s later.
    client.zincrby(keys.leases, -100_000, "0")
    client.hincrby(keys.feed, "looked_ms", -100_000)
    with collecting(client, keys, Plan(), tmp_path) as resumed:
        resumed.step(0.0)
        resumed.check_failures()
        assert [feed.claim(f"alive/{n}", **asked) for n in range(3)] == [0, 1, None]
