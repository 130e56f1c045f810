"""The engine's side of an in-flight weight update: vLLM's weight-transfer backend `file`.

The learner writes a whole set of weights as one safetensors file on tmpfs; vLLM's worker reads it here through
the official four-phase update (start, update, finish, stamp). This module is loaded inside vLLM's worker
process, as its extension class; importing it there is the moment at which the backend can be registered.
"""

from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open
from vllm.distributed.weight_transfer import WeightTransferEngineFactory
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

BACKEND = "file"


@dataclass
class FileInitInfo(WeightTransferInitInfo):
    """A file needs no rendezvous."""


@dataclass
class FileUpdateInfo(WeightTransferUpdateInfo):
    """One update: the safetensors file that holds every parameter under its Hugging Face name."""

    path: str


class FileWeightTransferEngine(WeightTransferEngine[FileInitInfo, FileUpdateInfo]):
    """Loads weights from a safetensors file; works on any device that sees the file."""

    init_info_cls = FileInitInfo
    update_info_cls = FileUpdateInfo

    def init_transfer_engine(self, init_info: FileInitInfo) -> None:
        """Nothing to connect."""

    def start_weight_update(self) -> None:
        # The CPU engine packs linear weights and empties the originals; only the layer-wise reload restores them.
        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, str]) -> None:
        """As the base class, without its device synchronisation when there is no accelerator to synchronise."""
        self.receive_weights(self.parse_update_info(update_info))
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()

    def receive_weights(self, update_info: FileUpdateInfo) -> None:
        with safe_open(update_info.path, framework="pt", device=str(self.device)) as weights:
            model: Any = self.model
            model.load_weights((name, weights.get_tensor(name)) for name in weights.keys())  # noqa: SIM118

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)
        if self.device.type == "cpu":
            _repack_lm_heads(self.model)

    def shutdown(self) -> None:
        """Nothing to release."""


def _repack_lm_heads(model: torch.nn.Module) -> None:
    """On a CPU an LM head multiplies by a packed copy of its weight. The reload does not see a head that is tied to
    the embedding as loaded, so its copy would stay that of the old weights while every checksum is right.
    """
    for layer in model.modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


class WeightReceiverExtension:
    """vLLM's `worker_extension_cls`: its import registers the backend; it adds no methods."""


WeightTransferEngineFactory.register_engine(BACKEND, FileWeightTransferEngine)
