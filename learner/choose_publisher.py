"""Creates the weight publisher selected by `weights.backend`."""

from pathlib import Path

from broker.weights import WeightBoard
from conf.schema import WeightSettings
from learner.file_publisher import FilePublisher
from learner.nccl_publisher import NcclPublisher
from learner.weight_publisher import Publisher


def make_publisher(
    settings: WeightSettings, board: WeightBoard, *, num_actors: int, tensor_parallel: int
) -> Publisher:
    """The publisher of `weights.backend`. `num_actors`, `tensor_parallel`: number of engines, and GPUs per engine."""
    with_checksums = settings.canary_every > 0
    if settings.backend == "file":
        assert settings.folder is not None, "the driver sets weights.folder before it starts the learner"
        return FilePublisher(
            Path(settings.folder).expanduser(),
            board,
            tensor_parallel=tensor_parallel,
            with_checksums=with_checksums,
        )
    return NcclPublisher(
        board,
        num_actors=num_actors,
        tensor_parallel=tensor_parallel,
        timeout_s=settings.timeout_s,
        with_checksums=with_checksums,
    )
