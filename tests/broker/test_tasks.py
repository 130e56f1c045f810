"""The task list of a sampling stage, on the real server."""

import pytest
import redis

from broker.errors import BrokerError
from broker.feed import Feed
from broker.keys import Keys
from broker.records import Assignment, Task
from broker.tasks import Tasks

TASKS = [Task(problem_id=f"p{i}", arm="guided", samples=16, guidance=f"Step {i}.", seed=i * 256) for i in range(3)]


@pytest.fixture
def tasks(client: redis.Redis, keys: Keys) -> Tasks:
    return Tasks(client, keys)


def claim(feed: Feed, token: str) -> int | None:
    return feed.claim(token, held_version=0, batch_groups=1, max_lag=None, lease_s=60, high_water=9)


def test_a_group_id_is_an_index_of_the_list(tasks: Tasks) -> None:
    tasks.append(0, TASKS[:2])
    tasks.append(2, TASKS[2:])
    assert tasks.all() == TASKS
    assert tasks.assignment(1) == Assignment(
        group_id=1, problem_id="p1", arm="guided", samples=16, guidance="Step 1.", seed=256
    )
    with pytest.raises(BrokerError, match="has no task 3"):
        tasks.assignment(3)


def test_the_feed_issues_what_is_in_the_list_and_waits_for_more(
    client: redis.Redis, keys: Keys, tasks: Tasks
) -> None:
    feed = Feed(client, keys)
    tasks.append(0, TASKS[:2])
    assert [claim(feed, "a/0"), claim(feed, "a/1"), claim(feed, "a/2")] == [0, 1, None]
    tasks.append(2, TASKS[2:])
    assert claim(feed, "a/2") == 2


def test_a_repeated_append_adds_nothing_and_a_second_writer_is_an_error(tasks: Tasks) -> None:
    tasks.append(0, TASKS)
    tasks.append(0, TASKS)
    assert len(tasks.all()) == 3
    with pytest.raises(BrokerError, match="was changed by another process that samples under the same name"):
        tasks.append(1, TASKS[:1])


def test_many_tasks_are_appended_in_several_calls(tasks: Tasks) -> None:
    many = [Task(problem_id=f"p{i}", arm="unguided", samples=1, seed=i) for i in range(1203)]
    tasks.append(0, many)
    assert tasks.all() == many


def test_a_failed_group_leaves_its_reason(client: redis.Redis, keys: Keys, tasks: Tasks) -> None:
    feed = Feed(client, keys)
    tasks.append(0, TASKS)
    assert [claim(feed, "a/0"), claim(feed, "b/0")] == [0, 1]
    assert feed.fail(0, "a/0", "prompt_too_long")
    assert feed.release("b", max_attempts=1) == 1
    assert feed.failures() == {0: "prompt_too_long", 1: "attempts"}
