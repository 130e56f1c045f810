"""MLflow: the server or the store of $MLFLOW_TRACKING_URI, else a database in the folder."""

import os
from collections.abc import Mapping
from pathlib import Path

import mlflow

from conf.names import flat
from conf.schema import RunConfig
from deploy.loggers.writers import PROJECT


class MLflow:
    """Numbers are metrics by step, settings are parameters."""

    def __init__(self, run: str) -> None:
        self.run = run

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        mlflow.log_metrics(dict(numbers), step=step)

    def close(self) -> None:
        mlflow.end_run()


def open_writer(config: RunConfig, folder: Path, run: str, *, resumed: bool) -> MLflow:
    if "MLFLOW_TRACKING_URI" not in os.environ:
        mlflow.set_tracking_uri(f"sqlite:///{folder.resolve()}/mlflow.db")
    if not {"MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"} & os.environ.keys():
        mlflow.set_experiment(PROJECT)
    begun = mlflow.start_run(run_id=run if resumed else None, run_name=config.run.name)
    if not resumed:  # parameters of a run cannot be changed
        mlflow.log_params(flat(config))
    return MLflow(begun.info.run_id)
