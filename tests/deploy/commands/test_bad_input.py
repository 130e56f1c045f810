"""Bad input is refused before anything starts: one line with place and remedy, exit code 2, no file changed."""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

from tests.small_disk import fill, small_disk

REPOSITORY = Path(__file__).parents[3]


def refused(root: Path, *words: str, remedy: str, command: str = "train", **variables: str) -> str:
    """The one line that `pope COMMAND` prints, after exit code 2. `variables`: environment variables."""
    result = subprocess.run(
        [sys.executable, "-m", "deploy.cli", command, *words, f"run.root={root}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **variables},
    )
    assert result.returncode == 2, result.stdout + result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("pope: ")]
    assert len(lines) == 1, result.stderr
    assert remedy in lines[0]
    assert "Traceback" not in result.stderr
    return lines[0]


def test_an_unknown_key_is_answered_with_the_nearest_valid_one(tmp_path: Path) -> None:
    line = refused(tmp_path, "learner.learning_rat=1e-3", remedy="learner.learning_rate")
    assert "learner.learning_rat" in line


def test_a_ring_that_cannot_hold_whole_groups_is_refused(tmp_path: Path) -> None:
    line = refused(tmp_path, "ring.capacity=100", remedy="96 and 104")
    assert "broker.ring.capacity=100" in line


def test_a_problem_without_an_answer_is_named_by_file_and_line(tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    rows = [{"statement": "1+1?", "answer": "2", "solution": "So $1+1=2$."}, {"statement": "2+2?", "solution": "4"}]
    problems.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    line = refused(tmp_path, f"problems.source={problems}", "model.path=builtin:tiny", remedy="answer")
    assert f"{problems}:2" in line


def test_an_unreachable_redis_is_named_without_its_password(tmp_path: Path) -> None:
    words = ("broker.url=redis://127.0.0.1:1/0", "broker.connect_timeout_s=0.3")
    line = refused(tmp_path, *words, remedy="broker.url=null", POPE_BROKER_URL="redis://:hunter2@127.0.0.1:1/0")
    assert "127.0.0.1:1" in line
    assert "hunter2" not in line


def test_a_variable_that_lets_files_run_code_is_refused(tmp_path: Path) -> None:
    for name in ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "VLLM_ALLOW_INSECURE_SERIALIZATION"):
        assert name in refused(tmp_path, remedy="unset it", **{name: "1"})


def test_a_run_folder_in_use_names_its_owner(tmp_path: Path) -> None:
    (tmp_path / "pope").mkdir()
    with (tmp_path / "pope" / "lock").open("w") as lock:
        lock.write("pid 4711 on elsewhere")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        line = refused(tmp_path, remedy="choose another run.name")
    assert "pid 4711 on elsewhere" in line


def test_a_resume_without_a_run_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "run.resume=true", remedy="run.name")


def test_an_unknown_option_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, "--nonsense", remedy="--nonsense")
    refused(tmp_path, "nonsense.yaml", remedy="nonsense.yaml")


def test_fine_tuning_without_data_or_with_a_bad_line_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    refused(tmp_path, "sft.data=none", remedy="full_oracle, guided_oracle, prefix or FILE.jsonl", command="sft")
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"prompt": "1+1?"}\n')
    for command in ("sft", "train"):
        line = refused(tmp_path, f"sft.data={mine}", remedy='write {"prompt"', command=command)
        assert f"{mine}:1" in line
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        folder = disk / "kept"
        folder.mkdir()
        (folder / "settings.yaml").write_text("run: {name: kept}\n")
        fill(disk / "ballast")
        line = refused(disk, "run.name=kept", "run.resume=true", remedy="free some space")
        assert f"the disk of {folder} is full" in line
        assert os.listdir(folder) == ["settings.yaml"]
        assert (folder / "settings.yaml").read_text() == "run: {name: kept}\n"


def test_a_place_that_cannot_hold_runs_is_named_without_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for root in (Path("/proc/x"), file):
        refused(root, remedy="name a folder that can be written")


def test_an_unwritable_out_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"statement": "1+1?", "answer": "2"}) + "\n")
    words = (str(problems), "--out", "/proc/x/solved.jsonl", "oracle.model=big")
    refused(tmp_path, *words, remedy="folder that can be written", command="oracle")


def test_the_name_of_an_experiment_alone_is_answered_with_the_whole_word(tmp_path: Path) -> None:
    refused(tmp_path, "hard_guide", remedy="experiment=hard_guide")
    refused(tmp_path, "~learner.threads", remedy="no setting can be removed")
    refused(tmp_path, "problems.source=my.jsonl", remedy="model.path=FOLDER or a hub id")


def test_the_versions_are_printed() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "--version"], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("pope-rl ")
    assert "torch " in result.stdout
