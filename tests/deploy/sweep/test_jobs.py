"""Runs as jobs of a Ray cluster, against a fake of its job server."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobStatus

from broker.errors import UsageError
from deploy.sweep import jobs
from deploy.sweep.jobs import Cluster
from tests.runs import REPOSITORY


@dataclass
class Details:
    """A job as the server describes it."""

    submission_id: str
    metadata: dict[str, str]
    status: JobStatus = JobStatus.PENDING


@dataclass
class JobServer:
    """Records what was submitted."""

    address: str = ""
    jobs: list[Details] = field(default_factory=list)
    submitted: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, address: str) -> "JobServer":
        self.address = address
        return self

    def submit_job(self, **job: Any) -> str:
        self.submitted.append(job)
        self.jobs.append(Details(job["submission_id"], job["metadata"]))
        return str(job["submission_id"])

    def list_jobs(self) -> list[Details]:
        return self.jobs

    def get_job_status(self, id: str) -> JobStatus:
        return next(job.status for job in self.jobs if job.submission_id == id)

    def get_job_logs(self, id: str) -> str:
        return "  step 1/2\n  step 2/2\n\n" if self.get_job_status(id) == JobStatus.RUNNING else ""

    def stop_job(self, id: str) -> None:
        next(job for job in self.jobs if job.submission_id == id).status = JobStatus.STOPPED


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> JobServer:
    fake = JobServer()
    monkeypatch.setattr(jobs, "JobSubmissionClient", fake)
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    monkeypatch.chdir(REPOSITORY)
    return fake


def test_a_job_is_the_run_of_the_readme(server: JobServer) -> None:
    job = Cluster().run(["experiment=hard", "problems.arms={unguided: 1}"], Path("/shared/try/hard-s0"), "a1")
    (submitted,) = server.submitted
    assert server.address == "http://127.0.0.1:8265"
    assert submitted["entrypoint"] == "python -m deploy.train experiment=hard 'problems.arms={unguided: 1}'"
    assert submitted["runtime_env"] == {"working_dir": "."}
    assert submitted["submission_id"].startswith("try-hard-s0-")
    assert (job.poll(), job.last_line()) == (None, "pending")
    server.jobs[0].status = JobStatus.RUNNING
    assert (job.poll(), job.last_line()) == (None, "step 2/2")
    server.jobs[0].status = JobStatus.SUCCEEDED
    assert job.poll() == 0


def test_a_job_that_was_stopped_or_failed_is_no_success(server: JobServer) -> None:
    cluster = Cluster()
    first, second = (cluster.run([], Path(f"/shared/try/{name}"), "a1") for name in ("a", "b"))
    first.terminate()
    assert first.poll() == 1
    server.jobs[1].status = JobStatus.FAILED
    assert second.poll() == 1
    second.interrupt()
    assert server.jobs[1].status == JobStatus.FAILED, "a job that has ended is not stopped"


def test_a_job_of_an_earlier_call_is_followed_and_not_started_twice(server: JobServer) -> None:
    folder = Path("/shared/try/hard-s0")
    Cluster().run([], folder, "a1")
    again = Cluster().run([], folder, "a1")
    assert len(server.submitted) == 1
    server.jobs[0].status = JobStatus.FAILED
    assert again.poll() == 1
    Cluster().run([], folder, "a1")
    assert len(server.submitted) == 2, "after a job has ended another is submitted"


def test_a_job_that_goes_on_is_not_taken_for_another(server: JobServer) -> None:
    """Neither for a run with other settings nor for one that is to begin anew."""
    folder = Path("/shared/try/hard-s0")
    Cluster().refuse_running(folder, "a1", fresh=True)
    Cluster().run([], folder, "a1")
    id = server.jobs[0].submission_id
    Cluster().refuse_running(folder, "a1", fresh=False)
    with pytest.raises(UsageError, match=f"has other settings: end it with `ray job stop {id}`"):
        Cluster().refuse_running(folder, "b2", fresh=False)
    with pytest.raises(UsageError, match="--fresh would start a second run beside it"):
        Cluster().refuse_running(folder, "a1", fresh=True)
    server.jobs[0].status = JobStatus.STOPPED
    Cluster().refuse_running(folder, "b2", fresh=True)


def test_without_a_cluster_jobs_are_refused(server: JobServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RAY_ADDRESS")
    with pytest.raises(UsageError, match="set it"):
        Cluster()
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="repository's root"):
        Cluster()
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.undo()
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(UsageError, match="no Ray job server answers there"):
        Cluster()
