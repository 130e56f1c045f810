"""`pope sft` and SFT inside `pope train`, with all roles."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.problems.catalog import load_problems
from broker.reports import SftStep
from conf.schema import ProblemSettings
from deploy.jobs.evaluate import checkpoint_folder
from deploy.store.metric_files import read_reports
from tests.runs import PATIENCE_S, SMALL, start, start_run

pytestmark = [pytest.mark.flow, pytest.mark.timeout(2 * PATIENCE_S)]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_prefixes_and_sampled_completions_are_imitated_and_rl_starts_from_the_result(tmp_path: Path) -> None:
    sft = ("arms.guided=0", "sft.data=prefix", "sft.max_samples=32", "sft.epochs=2", "sft.batch_samples=4")
    run = start_run(tmp_path, *sft, "run.max_steps=2", "problems.num_hard=8")
    output = run.wait()
    assert run.process.returncode == 0, output + run.logs()
    assert run.left_behind() == []
    assert output.count("model check: learner = model within") == 2, "of the base model and of the fine-tuned one"

    problems = {problem["id"]: problem for problem in lines(run.folder / "problems.jsonl")}
    demonstrations = lines(run.folder / "sft.jsonl")
    left_out = lines(run.folder / "sft_left_out.jsonl")
    assert demonstrations
    assert {row["problem_id"] for row in demonstrations} | {row["problem_id"] for row in left_out} == set(problems)
    for row in demonstrations:
        problem = problems[row["problem_id"]]
        assert row["response"].startswith(problem["guidance"])
        assert row["response"].count(problem["guidance"]) == 1
        assert f"\\boxed{{{problem['answer']}}}" in row["response"]
        assert "Partial Response" not in row["prompt"]

    summary = run.summary()
    assert list(summary["hard"]) == ["before", "sft", "after"]
    assert summary["steps"] == 2
    assert summary["counters"]["balanced"]
    steps = -(-len(demonstrations) // 4) * 2
    assert summary["sft"]["steps"] == steps
    assert [int(row["step"]) for row in lines(run.folder / "metrics" / "sft.jsonl")] == list(range(1, steps + 1))
    assert (run.folder / "sft" / "loss.png").stat().st_size > 10_000
    assert {path.name for path in (run.folder / "sft").iterdir()} == {"model", "loss.png", "summary.json"}
    model = run.folder / "sft" / "model"
    AutoModelForCausalLM.from_pretrained(model)
    assert AutoTokenizer.from_pretrained(model).chat_template
    assert not any(path.is_dir() or path.name == "MANIFEST.json" for path in model.iterdir())


def test_a_killed_fine_tuning_is_resumed_and_a_finished_one_is_not_repeated(tmp_path: Path) -> None:
    """The demonstrations are a file, so no engine is needed."""
    mine = tmp_path / "mine.jsonl"
    solved = load_problems(ProblemSettings(num_hard=16, chain_steps=2), 0)
    mine.write_text("".join(json.dumps({"prompt": p.statement, "response": p.solution}) + "\n" for p in solved))
    words = (f"sft.data={mine}", "sft.epochs=20", "sft.batch_samples=4", "learner.checkpoint_every=10", *SMALL)

    whole = start("sft", tmp_path, *words, name="whole")
    output = whole.wait()
    assert whole.process.returncode == 0, output + whole.logs()
    assert whole.left_behind() == []
    assert "80 steps on 16 demonstrations" in output
    told = list(read_reports(whole.folder / "metrics", SftStep))
    assert told[-1].loss < 0.5 * told[0].loss
    assert checkpoint_folder(str(whole.folder)) == (str(whole.folder / "sft" / "model"), whole.folder)

    killed = start("sft", tmp_path, *words, name="killed")
    saved = killed.folder / "sft" / "checkpoints" / "step-000010"
    killed.wait_until(saved.exists, "a checkpoint")
    killed.process.send_signal(signal.SIGKILL)
    killed.process.wait()
    # The driver is gone. Ray's own agents take a minute or two to notice that their raylet has ended.
    left = {process.pid: process.name() for process in killed.left_behind()}
    assert [name for name in left.values() if not name.endswith("Agent")] == []

    again = start("sft", tmp_path, *words, name="killed")
    output = again.wait()
    assert again.process.returncode == 0, output + again.logs()
    theirs, ours = (load_file(run.folder / "sft" / "model" / "model.safetensors") for run in (whole, again))
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    assert [int(row["step"]) for row in lines(again.folder / "metrics" / "sft.jsonl")] == list(range(1, 81))

    third = start("sft", tmp_path, *words, name="killed")
    output = third.wait()
    assert third.process.returncode == 0, output + third.logs()
    assert "fine-tune" not in output
    assert f"model.path={again.folder / 'sft' / 'model'}" in output
