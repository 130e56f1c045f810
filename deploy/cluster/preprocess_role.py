"""The preprocessing worker as a Ray actor."""

import os
from pathlib import Path

from conf.schema import RunConfig
from deploy.cluster.role_process import open_role


class PreprocessRole:
    """One preprocessing worker."""

    def __init__(self, config: RunConfig, name: str, redis_url: str, log_path: Path, model_path: Path) -> None:
        open_role(log_path, 1)
        self._config, self._name, self._redis_url = config, name, redis_url
        self._model_path = model_path

    def start(self) -> int:
        """Load the reference model if there is a KL penalty. Returns the process id."""
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
