import threading
import time

import numpy as np
import pytest
import redis

from broker.connection import connect
from broker.keys import Keys
from broker.records import WeightAnnouncement
from broker.weights import KEPT_ANNOUNCEMENTS, WeightBoard, lag


def announcement(version: int) -> WeightAnnouncement:
    return WeightAnnouncement(version=version, backend="file", path=f"/w/{version}")


@pytest.fixture
def board(client: redis.Redis, keys: Keys) -> WeightBoard:
    return WeightBoard(client, keys)


def test_lag_is_the_version_before_the_update_minus_the_version_that_wrote_the_token() -> None:
    # Step 8 turns version 7 into 8. A token sampled by version 7 is on-policy.
    assert lag(7, 7) == 0
    assert lag(7, np.asarray([7, 5, 0])).tolist() == [0, 2, 7]


def test_an_empty_board_has_version_zero_and_no_announcement(board: WeightBoard) -> None:
    assert board.version() == 0
    assert board.newest() is None
    assert board.wait_newer(-1, timeout_s=0.0) is None


def test_the_starting_weights_can_be_announced(board: WeightBoard) -> None:
    assert board.announce(announcement(0))
    assert not board.announce(announcement(0))
    assert board.newest() == announcement(0)
    assert board.wait_newer(-1, timeout_s=0.0) == announcement(0)
    assert board.wait_newer(0, timeout_s=0.0) is None


def test_versions_never_decrease(board: WeightBoard) -> None:
    assert board.announce(announcement(3))
    assert not board.announce(announcement(2))
    assert not board.announce(announcement(3))
    assert board.announce(announcement(7))
    assert (board.version(), board.newest()) == (7, announcement(7))


def test_a_waiting_engine_skips_to_the_newest(board: WeightBoard) -> None:
    for version in range(1, 5):
        board.announce(announcement(version))
    assert board.wait_newer(1, timeout_s=0.0) == announcement(4)


def test_a_waiting_engine_gets_a_new_version(board: WeightBoard, redis_url: str, keys: Keys) -> None:
    board.announce(announcement(1))
    other = WeightBoard(connect(redis_url, client_name="learner"), keys)
    timer = threading.Timer(0.1, lambda: other.announce(announcement(2)))
    timer.start()
    started = time.monotonic()
    assert board.wait_newer(1, timeout_s=10.0) == announcement(2)
    assert time.monotonic() - started < 5.0
    timer.join()


def test_waiting_ends_at_its_deadline(board: WeightBoard) -> None:
    started = time.monotonic()
    assert board.wait_newer(0, timeout_s=0.1) is None
    assert 0.09 < time.monotonic() - started < 5.0


def test_old_announcements_are_removed(board: WeightBoard, client: redis.Redis, keys: Keys) -> None:
    for version in range(3 * KEPT_ANNOUNCEMENTS):
        board.announce(announcement(version))
    assert client.xlen(keys.weights) == KEPT_ANNOUNCEMENTS
    assert board.wait_newer(0, timeout_s=0.0) == announcement(3 * KEPT_ANNOUNCEMENTS - 1)


def test_the_board_records_the_version_of_each_engine(board: WeightBoard) -> None:
    board.hold("actor-0", 3)
    board.hold("actor-1", 2)
    board.hold("actor-0", 0)  # restarted
    assert board.held() == {"actor-0": 0, "actor-1": 2}
    board.forget("actor-1")
    assert board.held() == {"actor-0": 0}
