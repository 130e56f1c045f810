"""`pope mine` and `pope eval` with all roles; a command that was killed continues where it was."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from deploy.store.rollout_archive import read_rollouts
from tests.runs import PATIENCE_S, Run, start
from tests.waiting import wait_until

pytestmark = [pytest.mark.flow, pytest.mark.timeout(2 * PATIENCE_S)]

MINE = (
    "--guidance",
    "problems.num_hard=8",
    "problems.num_easy=8",
    "problems.num_easier=0",
    "problems.chain_steps=8",
    "mining.samples=32",
    "guidance.samples=8",
    "mining.max_completion_tokens=128",
    "actors.max_num_seqs=128",
    "actors.lease_s=15",
    "deploy.heartbeat_s=0.5",
)
"""The leases of the killed command have ended when the next one is up, which then waits for none of them."""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def results_of(run: Run, stage: str) -> Path:
    """The file of a stage's finished groups. Its name holds a digest of model and problems."""
    (results,) = (run.folder / "sampling").glob(f"{stage}-*.results")
    return results


def archive(run: Run, stage: str) -> Path:
    """Path of a stage's archive, without suffix."""
    return results_of(run, stage).with_suffix("")


def archived(run: Run, stage: str) -> int:
    """Number of groups in the archive so far."""
    return sum(path.read_bytes().count(b"\n") for path in (run.folder / "sampling").glob(f"{stage}-*.results"))


def test_a_killed_mining_is_continued_and_finds_the_planted_buckets(tmp_path: Path) -> None:
    killed = start("mine", tmp_path, *MINE, name="killed")
    killed.wait_until(lambda: archived(killed, "mining") >= 12, "twelve groups")
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    before = results_of(killed, "mining").read_bytes()
    # Nobody is left to end them in order: each ends when it notices. Ray's own agents take a minute or two for that.
    wait_until(lambda: all(name.endswith("Agent") for name in killed.running()), "only Ray's agents are left")

    again = start("mine", tmp_path, *MINE, name="killed")
    output = again.wait()
    assert again.process.returncode == 0, output + again.logs()
    assert again.left_behind() == []
    whole_lines = before[: before.rindex(b"\n") + 1]
    assert results_of(again, "mining").read_bytes().startswith(whole_lines), "what was finished is kept"
    group_ids = [group.group_id for group in read_rollouts(archive(again, "mining"))]
    assert len(group_ids) == len(set(group_ids)) > whole_lines.count(b"\n"), "and not sampled twice"

    mined = {row["problem_id"]: row for row in lines(again.folder / "mined.jsonl")}
    assert sum(mined[id]["bucket"] == "hard" for id in mined if id.startswith("chain8")) >= 7
    assert not any(mined[id]["bucket"] == "hard" for id in mined if id.startswith("ring"))
    rollouts = [group for stage in ("mining", "guidance") for group in read_rollouts(archive(again, stage))]
    summary = json.loads((again.folder / "summary.json").read_text())
    assert sum(len(group.rollouts) for group in rollouts) == summary["rollouts"], "every rollout is kept"
    assert summary["sampling"]["max_completion_tokens"] == 128, "mining has its own budget"
    for row in lines(again.folder / "chosen.jsonl"):
        assert row["index"] is None or row["prefix"].count("\n") == row["index"]
    problems = {row["id"]: row for row in lines(again.folder / "problems.jsonl")}
    assert {problems[id]["bucket"] for id in problems} == set(summary["buckets"]) - {"none"}
    assert all(p["guidance"] is not None for p in problems.values() if p["bucket"] == "hard")
    assert (again.folder / "mining.png").stat().st_size > 10_000


def test_eval_measures_a_checkpoint_and_a_repeated_call_samples_nothing(tmp_path: Path) -> None:
    words = ("builtin:tiny", "builtin:tiny", "problems.num_hard=6", "problems.chain_steps=2", "n=20", "k=[1,4]",
             "evaluation.temperature=0.9", "top_p=0.98", "evaluation.max_completion_tokens=300")  # fmt: skip
    first = start("eval", tmp_path, *words, name="eval")
    output = first.wait()
    assert first.process.returncode == 0, output + first.logs()
    report = json.loads((first.folder / "report.json").read_text())["reports"][0]
    (measured,) = report["sets"]
    assert [score["k"] for score in measured["scores"]] == [1, 4]
    assert 0 < measured["scores"][0]["value"] < measured["scores"][1]["value"] < 1
    assert measured["samples"] == 120
    assert report["sampling"] == {"temperature": 0.9, "top_p": 0.98, "top_k": None, "max_completion_tokens": 300}
    assert "tiny" in (first.folder / "report.md").read_text()

    again = start("eval", tmp_path, *words, name="eval")
    output = again.wait()
    assert again.process.returncode == 0, output + again.logs()
    assert json.loads((again.folder / "report.json").read_text())["reports"][0] == report
