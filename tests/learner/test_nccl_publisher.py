"""The nccl backend against a fake of vLLM's trainer engine: everything but NCCL."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import torch

from broker.keys import Keys
from broker.records import WeightAnnouncement
from broker.weights import WeightBoard
from learner.nccl_publisher import BoardClient, NcclPublisher, WeightsInMemory
from learner.weight_publisher import PublishError


@pytest.fixture
def board(client: redis.Redis, keys: Keys) -> WeightBoard:
    return WeightBoard(client, keys)


def weights(version: int) -> dict[str, torch.Tensor]:
    return {"a.weight": torch.full((2, 3), float(version)), "norm.weight": torch.arange(4.0)}


class FakeEngine:
    """Calls the client in the order of vLLM's trainer engine; `Actors` answer like engines."""

    def __init__(self, client: BoardClient, source: WeightsInMemory, world_size: int, events: list[str]) -> None:
        self.client, self.source, self.events = client, source, events
        events.append(f"connect {world_size}")
        client.init_weight_transfer_engine(
            {"master_address": "h", "master_port": 5, "world_size": world_size, "packed": True}
        )

    def send_weights(self) -> None:
        self.client.start_weight_update()
        self.client.update_weights({})
        self.events.append(f"sent {len(list(self.source))}")
        self.client.finish_weight_update()

    def shutdown(self) -> None:
        self.events.append("shutdown")


class Actors:
    """Write to the board that they hold every announced version, a moment after its announcement."""

    def __init__(self, board: WeightBoard, *names: str) -> None:
        self.board, self.names = board, list(names)
        self.seen: list[WeightAnnouncement] = []
        self._end = threading.Event()
        for name in names:
            board.hold(name, 0)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        version = 0
        while not self._end.is_set():
            newest = self.board.newest()
            if newest is None or newest.version <= version:
                time.sleep(0.005)
                continue
            version = newest.version
            self.seen.append(newest)
            for name in self.names:
                self.board.hold(name, version)

    def end(self) -> None:
        self._end.set()
        self._thread.join()


@pytest.fixture
def actors(board: WeightBoard) -> Iterator[Actors]:
    fleet = Actors(board, "actor-0", "actor-1")
    yield fleet
    fleet.end()


def nccl_publisher(board: WeightBoard, events: list[str], **options: Any) -> NcclPublisher:
    settings = {"num_actors": 2, "tensor_parallel": 1, "timeout_s": 10.0, **options}
    return NcclPublisher(board, connect=lambda c, s, n: FakeEngine(c, s, n, events), **settings)


def test_starting_weights_that_every_engine_has_are_not_sent(board: WeightBoard, actors: Actors) -> None:
    events: list[str] = []
    nccl_publisher(board, events).publish(0, weights(0).items())
    assert (events, board.newest()) == ([], None)


def test_the_group_is_built_once_and_each_version_announced_once(board: WeightBoard, actors: Actors) -> None:
    events: list[str] = []
    publisher = nccl_publisher(board, events, tensor_parallel=2)
    publisher.publish(1, weights(1).items())
    publisher.publish(2, weights(2).items())
    assert events == ["connect 5", "sent 2", "sent 2"]
    first, second = actors.seen
    assert first.rendezvous is not None
    assert first.rendezvous.rank_offsets == {"actor-0": 1, "actor-1": 3}
    assert first.rendezvous.init_info("actor-1") == {
        "master_address": "h",
        "master_port": 5,
        "rank_offset": 3,
        "world_size": 5,
        "packed": True,
    }
    assert first.tensors == (("a.weight", "float32", (2, 3)), ("norm.weight", "float32", (4,)))
    assert second.rendezvous is None
    assert board.held() == {"actor-0": 2, "actor-1": 2}


def test_an_actor_that_started_again_makes_a_new_group(board: WeightBoard, actors: Actors) -> None:
    events: list[str] = []
    publisher = nccl_publisher(board, events)
    publisher.publish(1, weights(1).items())
    board.hold("actor-1", 0)
    publisher.publish(2, weights(2).items())
    assert events == ["connect 3", "sent 2", "shutdown", "connect 3", "sent 2"]
    assert actors.seen[1].rendezvous is not None


def test_an_actor_that_is_gone_leaves_the_group(board: WeightBoard, actors: Actors) -> None:
    events: list[str] = []
    publisher = nccl_publisher(board, events)
    publisher.publish(1, weights(1).items())
    actors.names.remove("actor-1")
    board.forget("actor-1")
    publisher.publish(2, weights(2).items())
    assert events[-2:] == ["connect 2", "sent 2"]


def test_an_actor_that_does_not_take_over_is_named(board: WeightBoard) -> None:
    board.hold("actor-0", 0)
    board.hold("actor-1", 0)
    with pytest.raises(PublishError, match=r"actor-0, actor-1 did not take over version 1"):
        nccl_publisher(board, [], timeout_s=0.2).publish(1, weights(1).items())


def test_a_broadcast_that_never_ends_is_abandoned(board: WeightBoard, actors: Actors) -> None:
    forever = threading.Event()

    class Stuck(FakeEngine):
        def send_weights(self) -> None:
            forever.wait()

    publisher = NcclPublisher(
        board, num_actors=2, tensor_parallel=1, timeout_s=0.2, connect=lambda c, s, n: Stuck(c, s, n, [])
    )
    start = time.monotonic()
    with pytest.raises(PublishError, match="did not end"):
        publisher.publish(1, weights(1).items())
    assert time.monotonic() - start < 5
    forever.set()


def test_actors_that_do_not_come_up_are_counted(board: WeightBoard) -> None:
    board.hold("actor-0", 0)
    with pytest.raises(PublishError, match="1 of 2 actors started"):
        nccl_publisher(board, [], timeout_s=0.1).publish(1, weights(1).items())
