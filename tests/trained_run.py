"""The folder of a run with a checkpoint of a given model, as `pope train` leaves it, without training."""

from pathlib import Path
from typing import Any

import torch

from actors.evaluation.results import Result
from broker.records import Problem
from conf.load import dump, load
from deploy.store.measurements import Measurement
from deploy.store.run_folder import RunFolder
from learner.checkpoints import Checkpoints
from learner.ranks import Ranks

STEP = 12
SETTINGS = ("run.name=trained", "model.path=builtin:tiny", "actors.temperature=0.8", "evaluation.k=[1,4]")
PROBLEMS = [
    Problem(id=f"sum-{n}", statement=f"What is {n} + {n}?", answer=str(2 * n), bucket="hard", source="s", guidance="So")
    for n in range(1, 5)
]


def trained_run(path: Path, lm: Any, tokenizer: Any, *settings: str, base_card: str | None = None) -> RunFolder:
    """`base_card`: README.md of the base model, which every checkpoint copies."""
    path.mkdir(parents=True)
    folder = RunFolder(path)
    folder.settings.write_text(dump(load(None, [*SETTINGS, *settings])))
    folder.save_problems(PROBLEMS)
    folder.save_json(folder.guidance, {"useful": 3, "given": 0, "fallback": 1, "none": 0})
    before, after = _results(0, solved=0), _results(STEP, solved=6)
    arms = ("unguided", "guided")
    Measurement({"before": dict.fromkeys(arms, before), "after": dict.fromkeys(arms, after)}).save(folder.measurements)

    def write(checkpoint: Path) -> None:
        lm.save_pretrained(checkpoint)
        tokenizer.save_pretrained(checkpoint)
        (checkpoint / "LICENSE").write_text("terms")
        (checkpoint / "notes.txt").write_text("private")
        (checkpoint / "state").mkdir()
        (checkpoint / "state" / "optimizer.pt").write_bytes(b"moments")
        if base_card is not None:
            (checkpoint / "README.md").write_text(base_card)

    store = Checkpoints(folder.checkpoints, Ranks(0, 1, torch.device("cpu")), keep=2, settings={})
    assert store.save(STEP - 4, write)
    assert store.save(STEP, write)
    return folder


def _results(step: int, solved: int) -> list[Result]:
    """8 samples of each problem, the first `solved` of them correct."""
    return [
        Result(
            problem_id=problem.id, source="hard", samples=8, verdicts={"correct": solved, "wrong": 8 - solved},
            truncated=0, completion_tokens=80, longest_completion_tokens=20, policy_version=step,
        )
        for problem in PROBLEMS
    ]  # fmt: skip
