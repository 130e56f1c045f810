"""Weights as a safetensors file on tmpfs, announced on the weight board (backend `file`)."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from broker.failpoints import failpoint
from broker.records import WeightAnnouncement
from broker.weights import WeightBoard
from learner.checksums import checksums
from learner.weight_publisher import PublishError


class FilePublisher:
    """Writes `weights-VERSION.safetensors` atomically, announces it, and keeps the newest files."""

    def __init__(
        self, folder: Path, board: WeightBoard, *, keep: int = 2, tensor_parallel: int = 1, with_checksums: bool = True
    ) -> None:
        """`keep`: number of files kept; two, because an engine may still read one when the next is announced."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._board, self._keep = folder, board, keep
        self._tensor_parallel, self._with_checksums = tensor_parallel, with_checksums

    def publish(self, version: int, source: Iterable[tuple[str, Tensor]]) -> WeightAnnouncement:
        newest = self._board.newest()
        if newest is not None and newest.version >= version:
            return newest  # an announced file is never written again: an engine may be reading it
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in source}
        announcement = WeightAnnouncement(
            version=version,
            backend="file",
            path=str(self._path(version)),
            checksums=checksums(weights, tensor_parallel=self._tensor_parallel) if self._with_checksums else {},
        )
        self._write(self._path(version), weights)
        failpoint("learner.mid_publish")
        self._board.announce(announcement)
        self._prune(version)
        return announcement

    def close(self) -> None:
        """Does nothing: engines may still be reading. The driver removes the folder."""

    def _path(self, version: int) -> Path:
        return self._folder / f"weights-{version:06d}.safetensors"

    def _write(self, path: Path, weights: dict[str, Tensor]) -> None:
        needed = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
        free = shutil.disk_usage(self._folder).free
        if free < needed:  # a full tmpfs kills the writer with SIGBUS instead of raising an error
            raise PublishError(
                f"weights.folder={self._folder} has {free / 2**20:.0f} MiB free, one set of weights takes "
                f"{needed / 2**20:.0f} MiB; free memory or set another weights.folder"
            )
        temporary = path.with_suffix(".tmp")
        save_file(weights, temporary, metadata={"format": "pt"})
        failpoint("learner.mid_file")
        os.replace(temporary, path)

    def _prune(self, version: int) -> None:
        """Removes all but the newest `keep` files up to this version. Newer ones were announced before and are kept."""
        files = sorted(self._folder.glob("weights-*.safetensors"), key=lambda path: int(path.stem.split("-")[1]))
        current = [path for path in files if int(path.stem.split("-")[1]) <= version]
        for path in current[: -self._keep]:
            path.unlink(missing_ok=True)
