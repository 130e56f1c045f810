"""The weight publisher that `weights.backend` names."""

from pathlib import Path

from broker.weights import WeightBoard
from conf.schema import RunConfig
from learner.file_publisher import FilePublisher
from learner.nccl_publisher import NcclPublisher
from learner.weight_publisher import Publisher


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
    return NcclPublisher(
        board,
        num_actors=config.actors.num_actors,
        tensor_parallel=config.actors.tensor_parallel,
        timeout_s=config.weights.timeout_s,
        with_checksums=with_checksums,
    )
