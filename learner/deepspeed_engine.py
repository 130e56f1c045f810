"""Distributed training of a `Policy` with DeepSpeed: ZeRO 0, 2 or 3, on CPU (gloo) or GPU (nccl).

The only module that imports deepspeed.
"""

import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conf.schema import LearnerSettings
from learner.attention.flex import naming_compile_errors
from learner.batch_feed import Row
from learner.expected_gradient import ExpectedOfRow, Objective
from learner.model import PREFIX, Policy
from learner.model_cost import model_cost
from learner.ranks import Ranks
from learner.rendezvous import open_process_group

ADAM_EPS = 1e-8
COLLECTIVE_TIMEOUT_S = 600.0
"""Time-out of a collective, seconds. Ranks call one at least every few seconds."""
TAG = "state"
"""Folder of DeepSpeed's own files inside a checkpoint."""


class DeepSpeedEngine:
    """Forward, backward and step of one rank. All ranks call the same methods in the same order."""

    def __init__(
        self, policy: Policy, settings: LearnerSettings, *, dtype: torch.dtype, device: torch.device
    ) -> None:
        """RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT are set in the environment."""
        deepspeed = import_deepspeed(device)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        timeout = timedelta(seconds=COLLECTIVE_TIMEOUT_S)
        backend = "nccl" if device.type == "cuda" else "gloo"
        if not torch.distributed.is_initialized():
            open_process_group(backend, timeout)  # DeepSpeed takes over the group it finds
        deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False, timeout=timeout)
        self.device, self.dtype = device, dtype
        self.cost = model_cost(policy)
        self.ranks = Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), device)
        self._stage = settings.zero_stage
        self._gathered = deepspeed.zero.GatheredParameters
        self._policy = policy
        optimizer = torch.optim.AdamW(
            [p for p in policy.parameters() if p.requires_grad],
            lr=settings.learning_rate,
            betas=(settings.adam_beta1, settings.adam_beta2),
            eps=ADAM_EPS,
            weight_decay=settings.weight_decay,
            fused=device.type == "cuda",
        )
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=policy,
            optimizer=optimizer,
            config=_deepspeed_config(settings, dtype, self.ranks.world_size),
            dist_init_required=False,
        )
        # DeepSpeed would copy a conversion script into every checkpoint; a checkpoint holds no code.
        self._engine._copy_recovery_script = lambda folder: None

    def forward(self, row: Row, objective: Objective | None = None) -> tuple[Tensor, Tensor]:
        """(logprobs [N], entropies [N]) of a row on this rank's device.

        `objective`: whose total `backward` will get. It changes no result, and saves `backward` a second projection
        onto the vocabulary.
        """
        expected = ExpectedOfRow(row, objective, self.ranks.world_size) if objective else None
        return _outputs(self._engine, row, expected)

    @contextmanager
    def accumulate(self, *, last: bool, gradient: bool = True) -> Iterator[None]:
        """Context of forward and backward of one row; the gradients are reduced at the last row of a step.

        `gradient` False: forward only, without backward and `step`.
        """
        self._engine.set_gradient_accumulation_boundary(last)
        with torch.set_grad_enabled(gradient):
            yield

    def backward(self, loss: Tensor, *, discard: bool = False) -> None:
        """Adds the gradient of `loss`. Losses are summed over ranks: the scaling undoes DeepSpeed's mean.

        `discard`, on all ranks at the last row: the gradient of the whole step becomes not a number, so that `step`
        drops it. Every ZeRO stage has this way out, and no other one: it has reduced the earlier rows by then.
        """
        with naming_compile_errors():
            self._engine.backward(loss * (math.nan if discard else self.ranks.world_size))

    def gradient(self, rows: Sequence[Row], objective: Objective) -> list[Tensor]:
        """Gradient of the sum of these rows' losses on this rank: a float32 tensor per parameter, in main memory.

        Computed without DeepSpeed; its gradients, the optimizer and the random state do not change. Not available under
        ZeRO 3, where no rank has whole weights.
        """
        assert self._stage < 3, "conf/rules refuses ZeRO 3 with gradient_cosine_every"
        parameters = [p for p in self._policy.parameters() if p.requires_grad]
        total = [torch.zeros_like(p, dtype=torch.float32) for p in parameters]
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []):
            for cpu_row in rows:
                row = cpu_row.to(self.device)
                outputs = _outputs(self._policy, row, ExpectedOfRow(row, objective))
                with naming_compile_errors():
                    gradients = torch.autograd.grad(objective.total(row, *outputs), parameters)
                for sum_, gradient in zip(total, gradients, strict=True):
                    sum_ += gradient
        return [gradient.cpu() for gradient in total]

    def step(self, learning_rate: float) -> tuple[bool, float]:
        """Takes one optimizer step. Returns (applied, gradient norm before clipping).

        If the gradient is not finite, the norm is inf and the weights and moments do not change.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        norm = self._plain_norm()
        if norm is not None and not math.isfinite(norm):
            self._engine.zero_grad()
            return False, math.inf
        self._engine.step()
        applied = bool(self._engine.was_step_applied())
        if norm is None:
            norm = float(self._engine.get_global_grad_norm()) if applied else math.inf
        return applied, norm

    def _plain_norm(self) -> float | None:
        """The gradient norm if no optimizer wrapper of DeepSpeed computes it, else None."""
        if self._optimizer is not self._engine.basic_optimizer:
            return None
        gradients = [p.grad for p in self._policy.parameters() if p.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """(Hugging Face name, whole weight) in the model's dtype, one at a time; tied weights once.

        Under ZeRO 3 weights are gathered: all ranks must iterate to the end, and a weight is valid until the next one.
        """
        for name, parameter in self._policy.named_parameters():
            if self._stage == 3:
                with self._gathered([parameter], modifier_rank=None):
                    yield name.removeprefix(PREFIX), parameter.detach()
            else:
                yield name.removeprefix(PREFIX), parameter.detach()

    def gather_weights(self) -> dict[str, Tensor]:
        """All weights as copies in main memory on rank 0, in the order of `named_weights`; empty on other ranks.

        They are gathered completely before they are used, so that an error on rank 0 leaves no rank waiting.
        """
        keep = self.ranks.first
        weights = {}
        for name, weight in self.named_weights():
            if keep:
                weights[name] = weight.to("cpu", copy=True).contiguous()
        return weights

    def save(self, folder: Path) -> None:
        """Writes this rank's part of optimizer and weights under `folder`.

        A rank that cannot write raises only after DeepSpeed's collectives, in which the other ranks wait for it.
        """
        writer = self._engine.checkpoint_engine
        failed: list[OSError | RuntimeError] = []

        def save(*args: Any, **options: Any) -> None:
            try:
                type(writer).save(writer, *args, **options)
            except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
                failed.append(error)

        writer.save = save
        try:
            self._engine.save_checkpoint(str(folder), tag=TAG, save_latest=False)
        finally:
            del writer.save
        if failed:
            raise failed[0]

    def load(self, folder: Path) -> None:
        """Loads the files that `save` wrote. The caller has verified the folder's manifest.

        No code in a file is run. Raises if a file contains anything but tensors, plain values and three DeepSpeed
        classes.
        """
        loaded, _ = self._engine.load_checkpoint(str(folder), tag=TAG, load_lr_scheduler_states=False)
        if loaded is None:
            raise RuntimeError(f"DeepSpeed could not load {folder / TAG}")

    def close(self) -> None:
        """Leaves the process group."""
        self._engine.destroy()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _outputs(model: Any, row: Row, expected: ExpectedOfRow | None) -> tuple[Tensor, Tensor]:
    """What `Policy.forward` returns for a row."""
    logprobs, entropies = model(row.input_ids, row.position_ids, row.layout, row.positions, row.targets, expected)
    return logprobs, entropies


def import_deepspeed(device: torch.device) -> Any:
    """Imports deepspeed; restricts what it may unpickle, and prevents compilation at start."""
    os.environ["DS_ACCELERATOR"] = device.type  # read at the first import
    # DeepSpeed calls torch.load with weights_only=False; this variable overrides it.
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
    import deepspeed
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    # All the classes in its state files: an enum and two plain records.
    torch.serialization.add_safe_globals([LossScaler, ZeroStageEnum, fragment_address])
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    # Its shared-memory collectives for CPUs are compiled at start, which takes minutes and a compiler; gloo is used.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def _deepspeed_config(settings: LearnerSettings, dtype: torch.dtype, world_size: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        "train_batch_size": world_size,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,  # set by `accumulate`: steps differ in their number of rows
        "gradient_clipping": settings.gradient_clip,
        "zero_optimization": {"stage": settings.zero_stage},
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }
    if dtype == torch.bfloat16:
        config["bf16"] = {"enabled": True, "check_grad_overflow": True}
        config["data_types"] = {"grad_accum_dtype": "fp32"}
        # DeepSpeed accumulates bf16 gradients in float32 only from stage 1 on; on one rank stages 0 and 1 are equal.
        config["zero_optimization"]["stage"] = max(1, settings.zero_stage)
    return config
