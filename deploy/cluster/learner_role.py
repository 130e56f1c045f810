"""One DeepSpeed rank as a Ray actor: RL, SFT or the replay of recorded batches."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from broker.errors import PopeError, UsageError
from conf.plugins import require
from deploy.cluster.role_process import RoleProcess

if TYPE_CHECKING:
    from learner.model_check import ModelAgreement
    from learner.replay_plan import ReplayPlan
    from learner.sft_batches import Example


class LearnerRole(RoleProcess):
    """One DeepSpeed rank."""

    def start(self) -> int:
        """Load the user's policy loss, if there is one. Returns the process id."""
        self._open(self._config.learner.threads)
        require(self._config, "learner.policy_loss")
        return os.getpid()

    def address(self) -> tuple[str, int]:
        """This machine's address, and a port that is free now."""
        import ray

        host = ray.util.get_node_ip_address()
        with socket.socket() as probe:
            probe.bind((host, 0))
            return host, probe.getsockname()[1]

    def check_model(self, model_path: Path) -> str:
        """Compare the learner's log-probabilities of a few texts with the model's own. Returns the result as a line.

        Raises UsageError when they differ, or when the model cannot be trained. The model is loaded for it and dropped.
        """
        import torch

        device = self._config.deploy.device
        torch.set_num_threads(self._config.learner.threads)
        try:
            found = self._check_model_on(device, model_path)
        except torch.OutOfMemoryError:  # it compares in float32, which may not fit on a GPU that trains a part
            found = self._check_model_on("cpu", model_path)
        if device == "cuda":
            torch.cuda.empty_cache()
        return (
            f"model check: learner = model within {found.max_difference:.1g} nats "
            f"(root mean square {found.rms_difference:.1g}, bound {found.bound:.1g})"
        )

    def _check_model_on(self, device: str, model_path: Path) -> "ModelAgreement":
        import torch

        from learner.model_check import check_model

        try:
            return check_model(
                model_path,
                dtype=getattr(torch, self._config.model.dtype),
                settings=self._config.learner,
                temperature=self._config.actors.temperature,
                device=device,
            )
        except PopeError as error:
            raise UsageError(str(error)) from error

    def run(self, rank: int, master: tuple[str, int], run_path: Path, model_path: Path, incarnation: str) -> None:
        """RL until the run stops."""
        from learner.learner import Learner

        self._take_rank(rank, master)
        Learner(
            self._config,
            rank=rank,
            redis_url=self._redis_url,
            run_folder=run_path,
            model_path=model_path,
            incarnation=incarnation,
        ).run()

    def replay(self, rank: int, master: tuple[str, int], plan: "ReplayPlan") -> None:
        """Train recorded batches again; the run they come from is only read."""
        from learner.replay import replay

        self._take_rank(rank, master)
        replay(self._config, plan, redis_url=self._redis_url)

    def fine_tune(
        self, rank: int, master: tuple[str, int], checkpoints: Path, model_path: Path, examples: Sequence["Example"]
    ) -> None:
        """SFT to its last step."""
        from learner.sft import FineTuner

        self._take_rank(rank, master)
        FineTuner(
            self._config,
            examples,
            rank=rank,
            redis_url=self._redis_url,
            checkpoints=checkpoints,
            model_path=model_path,
        ).run()

    def _take_rank(self, rank: int, master: tuple[str, int]) -> None:
        """Set what DeepSpeed reads from the environment when it is imported."""
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK="0",
            WORLD_SIZE=str(self._config.learner.num_ranks),
            MASTER_ADDR=master[0],
            MASTER_PORT=str(master[1]),
            DS_ACCELERATOR=self._config.deploy.device,
        )
        import torch

        torch.set_num_threads(self._config.learner.threads)
