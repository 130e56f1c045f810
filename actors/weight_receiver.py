"""The weight-transfer backend `file` for vLLM: loads in-flight weight updates from a file.

The learner writes all weights to one safetensors file on tmpfs; vLLM's worker reads it here, in vLLM's four-phase
update (start, update, finish, stamp). The worker process imports this module for its extension class, and the import
registers the backend.
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

from actors import cpu_kernels

BACKEND = "file"


@dataclass
class FileInitInfo(WeightTransferInitInfo):
    """Empty: a file needs no rendezvous."""


@dataclass
class FileUpdateInfo(WeightTransferUpdateInfo):
    """Path of a safetensors file with all parameters under their Hugging Face names."""

    path: str


class FileWeightTransferEngine(WeightTransferEngine[FileInitInfo, FileUpdateInfo]):
    """Loads weights from a safetensors file, on CPU or GPU."""

    init_info_cls = FileInitInfo
    update_info_cls = FileUpdateInfo

    def init_transfer_engine(self, init_info: FileInitInfo) -> None:
        """Does nothing: a file needs no connection."""

    def start_weight_update(self) -> None:
        # The CPU engine packs linear weights and empties the originals; only the layer-wise reload restores them.
        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, str]) -> None:
        """As in the base class, but synchronises only if there is an accelerator."""
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
            cpu_kernels.forget_heads(self.model)

    def shutdown(self) -> None:
        """Does nothing: there is nothing to release."""


def _repack_lm_heads(model: torch.nn.Module) -> None:
    """Packs the weight of every LM head again, because on a CPU the head uses a packed copy.

    The reload does not treat a head tied to the embedding as loaded: without this, its packed copy would keep the old
    weights while all checksums match.
    """
    for layer in model.modules():
        if isinstance(layer, ParallelLMHead):
            layer.quant_method.process_weights_after_loading(layer)


class WeightReceiverExtension:
    """vLLM's `worker_extension_cls`: a base class of its worker. Importing this module registers the backend."""

    def take_over_weights(self, update_info: dict[str, Any]) -> None:
        """All three phases of an update in one call, because the engine is paused while calls go back and forth."""
        worker: Any = self
        worker.start_weight_update()
        worker.update_weights(update_info)
        worker.finish_weight_update()


WeightTransferEngineFactory.register_engine(BACKEND, FileWeightTransferEngine)
