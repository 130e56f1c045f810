"""The learner's end of vLLM's `nccl` weight transfer: one packed broadcast from rank 0 to all engine workers.

vLLM's trainer engine drives the transfer through a client object, which `BoardClient` implements with the weight board.
An update is announced there; every actor joins the transfer group if it is new, receives the weights, and records its
version on the board.

A collective does not detect a dead peer: one dead actor blocks the broadcast forever. The actors on the board are
therefore compared with the group before each transfer, and the group is created again when they changed. The transfer
runs on a thread that is abandoned after `weights.timeout_s`. Such a failure ends the learner; a restarted learner
resumes from its newest checkpoint.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from broker.failpoints import failpoint
from broker.records import Rendezvous, WeightAnnouncement
from broker.weights import WeightBoard
from learner.checksums import checksums
from learner.weight_publisher import PublishError

log = logging.getLogger(__name__)

POLL_S = 0.02


class BoardClient:
    """vLLM's `VLLMWeightSyncClient` over the weight board.

    vLLM calls `init_weight_transfer_engine` for a new group only, on a separate thread during the rendezvous, then
    `update_weights` on a separate thread during the broadcast. The first of these calls announces the update.
    """

    def __init__(self, board: WeightBoard, *, timeout_s: float) -> None:
        self._board, self._timeout_s = board, timeout_s
        self._update: WeightAnnouncement | None = None
        self._rank_offsets: Mapping[str, int] = {}
        self._announced = False

    def prepare(self, update: WeightAnnouncement, rank_offsets: Mapping[str, int]) -> None:
        """Sets the next update; `rank_offsets`: actor -> rank of its first worker, for every actor of the group."""
        self._update, self._rank_offsets, self._announced = update, rank_offsets, False

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        rendezvous = Rendezvous(
            master_address=init_info["master_address"],
            master_port=init_info["master_port"],
            world_size=init_info["world_size"],
            rank_offsets=dict(self._rank_offsets),
            packed=init_info["packed"],
        )
        self._announce(rendezvous)

    def start_weight_update(self) -> None:
        """Does nothing: engines start an update when they read the announcement."""

    def update_weights(self, update_info: dict[str, Any] | list[dict[str, Any]]) -> None:
        """Waits until every actor of the group holds the version. Raises PublishError naming the late actors."""
        if not self._announced:
            self._announce(None)
        assert self._update is not None
        version = self._update.version
        deadline = time.monotonic() + self._timeout_s
        while late := [actor for actor in self._rank_offsets if self._board.held().get(actor, -1) < version]:
            if time.monotonic() > deadline:
                raise PublishError(
                    f"weights.timeout_s={self._timeout_s:g} s passed and {', '.join(late)} did not take over "
                    f"version {version}"
                )
            time.sleep(POLL_S)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Does nothing: engines finish and stamp an update before they record its version on the board."""

    def _announce(self, rendezvous: Rendezvous | None) -> None:
        assert self._update is not None
        announcement = WeightAnnouncement(
            version=self._update.version,
            backend="nccl",
            tensors=self._update.tensors,
            rendezvous=rendezvous,
            checksums=self._update.checksums,
        )
        self._announced = True
        if not self._board.announce(announcement):
            raise PublishError(f"the board holds version {self._board.version()}, {announcement.version} is not newer")


Connect = Callable[[BoardClient, "WeightsInMemory", int], Any]
"""(client, source, world_size) -> vLLM's trainer engine, after the rendezvous."""


class NcclPublisher:
    """Broadcasts each version to the engines that are on the board."""

    def __init__(
        self,
        board: WeightBoard,
        *,
        num_actors: int,
        tensor_parallel: int,
        timeout_s: float,
        with_checksums: bool = True,
        connect: Connect | None = None,
    ) -> None:
        self._board = board
        self._num_actors, self._tensor_parallel = num_actors, tensor_parallel
        self._timeout_s, self._with_checksums = timeout_s, with_checksums
        self._connect = connect or connect_nccl
        self._client = BoardClient(board, timeout_s=timeout_s)
        self._source = WeightsInMemory()
        self._engine: Any = None
        self._rank_offsets: dict[str, int] = {}
        self._sent_version = -1

    def publish(self, version: int, source: Iterable[tuple[str, Tensor]]) -> WeightAnnouncement:
        """Publishes a version and waits until every engine holds it. Raises PublishError after `timeout_s`."""
        self._source.weights = dict(source)
        update = WeightAnnouncement(
            version=version,
            backend="nccl",
            tensors=tuple((name, _dtype_name(w), tuple(w.shape)) for name, w in self._source.weights.items()),
            checksums=self._digests(),
        )
        held = self._await_actors()
        if version > self._board.version() and any(holds < version for holds in held.values()):
            rank_offsets = {actor: 1 + i * self._tensor_parallel for i, actor in enumerate(sorted(held))}
            new_group = rank_offsets != self._rank_offsets or self._restarted(held)
            self._client.prepare(update, rank_offsets)
            self._with_deadline(lambda: self._transfer(rank_offsets, new_group), version)
            self._sent_version = version
        self._source.weights = {}
        return update

    def close(self) -> None:
        """Leaves the transfer group."""
        if self._engine is not None:
            self._engine.shutdown()
            self._engine = None

    def _digests(self) -> dict[str, str]:
        return checksums(self._source.weights, tensor_parallel=self._tensor_parallel) if self._with_checksums else {}

    def _await_actors(self) -> dict[str, int]:
        """Actor -> version it holds. Waits for all actors before the first transfer. Raises PublishError."""
        deadline = time.monotonic() + self._timeout_s
        while len(held := self._board.held()) < self._num_actors and self._sent_version < 0:
            if time.monotonic() > deadline:
                raise PublishError(f"{len(held)} of {self._num_actors} actors started in {self._timeout_s:g} s")
            time.sleep(POLL_S)
        return held

    def _restarted(self, held: Mapping[str, int]) -> bool:
        """Whether an actor of the group is a new process: it holds a version older than the last one sent."""
        return any(holds < self._sent_version for holds in held.values())

    def _transfer(self, rank_offsets: dict[str, int], new_group: bool) -> None:
        if new_group:
            self.close()
            world_size = 1 + len(rank_offsets) * self._tensor_parallel
            self._engine = self._connect(self._client, self._source, world_size)
            self._rank_offsets = rank_offsets
        self._engine.send_weights()

    def _with_deadline(self, transfer: Callable[[], None], version: int) -> None:
        errors: list[BaseException] = []

        def run() -> None:
            try:
                transfer()
            except BaseException as error:
                errors.append(error)

        # A daemon thread, so that the interpreter can exit when NCCL never returns.
        thread = threading.Thread(target=run, name="weight-transfer", daemon=True)
        thread.start()
        thread.join(self._timeout_s + 1.0)
        if thread.is_alive():
            raise PublishError(f"the broadcast of version {version} did not end in {self._timeout_s:g} s")
        if errors:
            raise PublishError(f"the transfer of version {version} failed: {errors[0]}") from errors[0]


class WeightsInMemory:
    """vLLM's `WeightSource`. Weights are gathered in advance, so no collective of the ranks runs in a transfer."""

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}

    def metadata(self) -> list[Any]:
        from vllm.distributed.weight_transfer.base import ParamMeta

        return [ParamMeta(name, w.dtype, tuple(w.shape)) for name, w in self.weights.items()]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        device = torch.accelerator.current_accelerator() or torch.device("cpu")
        for name, weight in self.weights.items():
            failpoint("learner.mid_broadcast")
            yield name, weight.to(device, non_blocking=True)


def connect_nccl(client: BoardClient, source: WeightsInMemory, world_size: int) -> Any:
    """Creates the transfer group with the engine workers; this process is rank 0 of `world_size`."""
    from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo, NCCLTrainerWeightTransferEngine

    host = os.environ["MASTER_ADDR"]  # this machine's address for the others; loopback on a single machine
    with socket.socket() as probe:
        probe.bind((host, 0))
        port = int(probe.getsockname()[1])
    info = NCCLTrainerInitInfo(rank=0, master_address=host, master_port=port, world_size=world_size)
    return NCCLTrainerWeightTransferEngine.trainer_init(info, client=client, source=cast(Any, source))


def _dtype_name(tensor: Tensor) -> str:
    """torch.bfloat16 -> "bfloat16", as vLLM spells it."""
    return str(tensor.dtype).removeprefix("torch.")
