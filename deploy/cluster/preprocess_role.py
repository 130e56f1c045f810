"""The preprocessing worker as a Ray actor."""

import os
from pathlib import Path

from conf.plugins import require
from conf.schema import RunConfig
from deploy.cluster.node_check import NodeNeeds
from deploy.cluster.role_process import RoleProcess


class PreprocessRole(RoleProcess):
    """One preprocessing worker."""

    def __init__(
        self, config: RunConfig, name: str, redis_url: str, log_path: Path, needs: NodeNeeds, model_path: Path
    ) -> None:
        super().__init__(config, name, redis_url, log_path, needs)
        self._model_path = model_path

    def start(self) -> int:
        """Load the user's advantage, and the reference model if there is a KL penalty. Returns the process id."""
        self._open(1)
        require(self._config, "preprocess.advantage")
        self._reference = None
        if self._config.learner.kl_coef > 0:
            from preprocess.reference import load_reference

            self._reference = load_reference(
                self._model_path,
                dtype=self._config.model.dtype,
                device=self._config.deploy.device,
                temperature=self._config.actors.temperature,
                chunk_tokens=self._config.learner.logprob_chunk_tokens,
            )
        return os.getpid()

    def run(self, incarnation: str, run_path: Path) -> None:
        from preprocess.preprocessor import Preprocessor

        Preprocessor(
            self._config,
            redis_url=self._redis_url,
            consumer=self._name,
            reference=self._reference,
            run_folder=run_path,
            incarnation=incarnation,
        ).run()
