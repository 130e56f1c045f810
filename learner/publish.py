"""How new weights reach the engines (arrow 10, the learner's end): a file on tmpfs, announced on the weight board."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from safetensors.torch import save_file
from torch import Tensor

from broker.errors import PopeError
from broker.failpoints import failpoint
from broker.records import WeightAnnouncement
from broker.weights import WeightBoard
from conf.schema import RunConfig
from learner.checksums import checksums


class PublishError(PopeError):
    """Weights could not be handed to the engines."""


class Publisher(Protocol):
    """What the learner needs of a backend; used on rank 0 only."""

    def publish(self, version: int, source: Iterable[tuple[str, Tensor]]) -> WeightAnnouncement:
        """Offer a version to the engines. Versions never go back: one the board has already is not offered again.

        That happens after a roll-back: the learner trains the batches since its checkpoint anew, and the engines keep
        what they hold until the first version beyond it. On a CPU the weights are the same to the last bit. On a GPU
        they may differ in rounding: tokens keep the log-probabilities they were sampled with, so ratios stay right.
        """
        ...

    def close(self) -> None:
        """Give up what this process holds."""
        ...


class FilePublisher:
    """Writes `weights-VERSION.safetensors` whole or not at all, announces it, keeps the newest files."""

    def __init__(
        self, folder: Path, board: WeightBoard, *, keep: int = 2, tensor_parallel: int = 1, with_checksums: bool = True
    ) -> None:
        """Two files are kept, because an engine may still be reading one when the next is announced."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._board, self._keep = folder, board, keep
        self._tensor_parallel, self._with_checksums = tensor_parallel, with_checksums

    def publish(self, version: int, source: Iterable[tuple[str, Tensor]]) -> WeightAnnouncement:
        newest = self._board.newest()
        if newest is not None and newest.version >= version:
            return newest  # its file stays as it was announced: an engine that starts now reads that one
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
        """Nothing: engines may still be reading. Whoever made the folder removes it."""

    def _path(self, version: int) -> Path:
        return self._folder / f"weights-{version:06d}.safetensors"

    def _write(self, path: Path, weights: dict[str, Tensor]) -> None:
        needed = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
        free = shutil.disk_usage(self._folder).free
        if free < needed:  # a full tmpfs kills writers with SIGBUS instead of an error
            raise PublishError(
                f"weights.folder={self._folder} has {free / 2**20:.0f} MiB free, one set of weights takes "
                f"{needed / 2**20:.0f} MiB; free some or name another folder"
            )
        temporary = path.with_suffix(".tmp")
        save_file(weights, temporary, metadata={"format": "pt"})
        failpoint("learner.mid_file")
        os.replace(temporary, path)

    def _prune(self, version: int) -> None:
        """Remove all but the newest `keep` files up to this version; later ones are of a run that was cut off."""
        files = sorted(self._folder.glob("weights-*.safetensors"), key=lambda path: int(path.stem.split("-")[1]))
        current = [path for path in files if int(path.stem.split("-")[1]) <= version]
        for path in current[: -self._keep]:
            path.unlink(missing_ok=True)


def make_publisher(config: RunConfig, board: WeightBoard) -> Publisher:
    """The publisher of `weights.backend`."""
    with_checksums = config.weights.canary_every > 0
    if config.weights.backend == "file":
        assert config.weights.folder is not None, "whoever starts the learner chooses the folder"
        return FilePublisher(
            Path(config.weights.folder).expanduser(),
            board,
            tensor_parallel=config.actors.tensor_parallel,
            with_checksums=with_checksums,
        )
    from learner.publish_nccl import NcclPublisher

    return NcclPublisher(
        board,
        num_actors=config.actors.num_actors,
        tensor_parallel=config.actors.tensor_parallel,
        timeout_s=config.weights.timeout_s,
        with_checksums=with_checksums,
    )
