"""Runs as jobs of the Ray cluster that RAY_ADDRESS names: `ray job submit --working-dir . -- python -m deploy.train`.

`run.root` must be a folder that this machine and the cluster share.
"""

import os
import secrets
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray.job_submission import JobStatus, JobSubmissionClient

from broker.errors import UsageError

STOP_TIMEOUT_S = 30.0
POLL_S = 0.2
_FOLDER, _SETTINGS = "pope_run", "pope_settings"
"""Keys of a job's metadata: the folder of its run, the hash of its settings."""


class Job:
    """One submitted run."""

    def __init__(self, client: JobSubmissionClient, id: str) -> None:
        self._client, self._id = client, id

    def poll(self) -> int | None:
        status = self._client.get_job_status(self._id)
        return (0 if status == JobStatus.SUCCEEDED else 1) if status.is_terminal() else None

    def last_line(self) -> str:
        lines = [line.strip() for line in self._client.get_job_logs(self._id).splitlines()]
        return next((line for line in reversed(lines) if line), self._client.get_job_status(self._id).value.lower())

    def interrupt(self) -> None:
        if self.poll() is None:
            self._client.stop_job(self._id)

    def terminate(self) -> None:
        self.interrupt()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_S)


class Cluster:
    """The Ray cluster to which jobs are submitted."""

    def __init__(self) -> None:
        """Raises UsageError when no cluster answers, or the working folder is not the repository's root."""
        address = os.environ.get("RAY_ADDRESS")
        if not address:
            raise UsageError("--jobs needs RAY_ADDRESS, such as RAY_ADDRESS=http://127.0.0.1:8265; set it")
        if not Path("deploy/train.py").exists():
            raise UsageError("--jobs ships the working folder to the cluster: start it in the repository's root")
        try:
            self._client = JobSubmissionClient(address)
        except (ConnectionError, RuntimeError, ValueError) as error:
            cause = str(error).splitlines()[0]
            raise UsageError(f"RAY_ADDRESS={address}: no Ray job server answers there: {cause}") from error

    def refuse_running(self, folder: Path, settings: str, *, fresh: bool) -> None:
        """Raises UsageError when a job still works on this folder and `run` must not follow it, because it has other
        settings or the run is to start over."""
        job = self._running(folder)
        if job is None or (not fresh and job.metadata.get(_SETTINGS) == settings):
            return
        why = "--fresh would start a second run beside it" if fresh else "it has other settings"
        raise UsageError(
            f"job {job.submission_id} still works on {folder}, and {why}: end it with `ray job stop "
            f"{job.submission_id}`, or choose another run.name for the sweep"
        )

    def run(self, words: Sequence[str], folder: Path, settings: str) -> Job:
        """Submit a run. If a job of an earlier call still works on the folder, follow that one instead."""
        if (job := self._running(folder)) is not None:
            return Job(self._client, job.submission_id)
        id = self._client.submit_job(
            entrypoint=shlex.join(["python", "-m", "deploy.train", *words]),
            submission_id=f"{folder.parent.name}-{folder.name}-{secrets.token_hex(3)}",
            runtime_env={"working_dir": "."},
            metadata={_FOLDER: str(folder), _SETTINGS: settings},
        )
        return Job(self._client, id)

    def _running(self, folder: Path) -> Any:
        """The job that still works on this folder, if any."""
        jobs = (job for job in self._client.list_jobs() if job.submission_id and not job.status.is_terminal())
        return next((job for job in jobs if (job.metadata or {}).get(_FOLDER) == str(folder)), None)
