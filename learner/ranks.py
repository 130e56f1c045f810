"""Collectives among the learner's processes."""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


class Ranks:
    """Collectives of the process group that `deepspeed_engine` opened. A single rank does not communicate.

    All ranks must call the same methods in the same order.
    """

    def __init__(self, rank: int, world_size: int, device: torch.device) -> None:
        self.rank, self.world_size = rank, world_size
        self._device = device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def from_first(self, number: int) -> int:
        """The number that rank 0 passed, on every rank."""
        return int(self._all(torch.tensor([number if self.first else 0], dtype=torch.int64), dist.ReduceOp.SUM)[0])

    def bytes_from_first(self, parts: Sequence[bytes]) -> list[bytes]:
        """The byte strings that rank 0 passed, on every rank; what the others pass does not count."""
        if self.world_size == 1:
            return list(parts)
        count = self.from_first(len(parts))
        own = [len(part) for part in parts] if self.first else [0] * count
        lengths = self._broadcast(torch.tensor(own, dtype=torch.int64)).tolist()
        buffer = torch.empty(sum(lengths), dtype=torch.uint8)
        if self.first:
            buffer.numpy()[:] = np.frombuffer(b"".join(parts), dtype=np.uint8)
        received = self._broadcast(buffer).numpy().tobytes()
        ends = accumulate(lengths)
        return [received[end - length : end] for end, length in zip(ends, lengths, strict=True)]

    def any(self, flag: bool) -> bool:
        """Whether the flag is true on any rank."""
        return bool(self.max(torch.tensor([float(flag)]))[0])

    def sum(self, values: Tensor) -> Tensor:
        """Element-wise sum over the ranks."""
        return self._all(values, dist.ReduceOp.SUM)

    def max(self, values: Tensor) -> Tensor:
        """Element-wise maximum over the ranks."""
        return self._all(values, dist.ReduceOp.MAX)

    def concatenate(self, values: Tensor) -> Tensor:
        """The values [n] of all ranks one after another, on every rank; n may differ between the ranks."""
        lengths = torch.zeros(self.world_size, dtype=torch.int64)
        lengths[self.rank] = len(values)
        ends = self.sum(lengths).cumsum(0).tolist()
        everything = values.new_zeros(ends[-1])
        everything[ends[self.rank] - len(values) : ends[self.rank]] = values
        return self.sum(everything)

    def _broadcast(self, values: Tensor) -> Tensor:
        """The values of rank 0; those of the other ranks have the same shape."""
        sent = values.to(self._device)  # nccl sends only tensors on the GPU
        dist.broadcast(sent, src=0)
        return sent.to(values.device)

    def _all(self, values: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        if self.world_size == 1:
            return values
        reduced = values.to(self._device)  # nccl reduces only tensors on the GPU
        reduced = reduced.clone() if reduced is values else reduced
        dist.all_reduce(reduced, op=operation)
        return reduced.to(values.device)
