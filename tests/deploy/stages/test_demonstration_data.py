"""The demonstrations of a run: sampled, joined, filtered by length, saved, and built only once."""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from actors.evaluation.results import result_of
from actors.evaluation.sampling_plan import SamplingPlan
from actors.problems.catalog import load_problems
from actors.problems.tiny.corpus import Mix, corpus
from broker.errors import UsageError
from broker.records import Problem, Rollout, RolloutGroup, Task, float32_bytes, int32_array, int32_bytes
from conf.load import load
from conf.schema import ProblemSettings, RunConfig
from deploy.run.base_tokenizer import train_tokenizer
from deploy.stages.demonstration_data import (
    TOO_LONG,
    UNFIT,
    check_demonstration_data,
    left_out_counts,
    load_examples,
)
from deploy.store.run_folder import RunFolder

SOLVED, NEEDS_TWO, UNSOLVED, UNGUIDED = (
    msgspec.structs.replace(problem, guidance="\n".join((problem.solution or "").split("\n")[:2]))
    for problem in load_problems(ProblemSettings(num_hard=4, chain_steps=3), 0)
)
UNGUIDED = msgspec.structs.replace(UNGUIDED, guidance=None, solution=None)
PROBLEMS = [SOLVED, NEEDS_TWO, UNSOLVED, UNGUIDED]


class Engines:
    """Samples the tasks of a plan: solutions of SOLVED, for NEEDS_TWO first a response that cannot be used."""

    def __init__(self, model_path: Path, tokenizer: Any) -> None:
        self.model_path = model_path
        self._tokenizer = tokenizer
        self.stages: list[tuple[str, list[str]]] = []
        self._groups: dict[str, list[RolloutGroup]] = {}

    def run(self, title: str, name: str, plan: SamplingPlan, problems: Sequence[Problem], *, source: str) -> int:
        self.stages.append((name, [problem.id for problem in problems]))
        groups = self._groups.setdefault(name, [])
        while plan.num_done < plan.num_problems:
            for task in plan.tasks():
                group = self._group(len(groups), task, later=len(self.stages) > 1)
                groups.append(group)
                plan.record(task, result_of(task.problem_id, source, group.rollouts))
        groups.reverse()  # an archive has its groups in the order of arrival
        return sum(len(group.rollouts) for group in groups)

    def rollouts(self, name: str, problems: Sequence[Problem]) -> Iterator[RolloutGroup]:
        return iter(self._groups[name])

    def _group(self, group_id: int, task: Task, *, later: bool) -> RolloutGroup:
        (problem,) = (problem for problem in PROBLEMS if problem.id == task.problem_id)
        rest = "\n".join((problem.solution or "").split("\n")[2:])
        text = rest if problem == SOLVED or later else f"By the partial response, {rest}"
        assert task.samples is not None
        correct = problem != UNSOLVED
        return RolloutGroup(
            group_id=group_id, problem_id=problem.id, arm=task.arm, bucket="hard", actor="actor-0",
            prompt_ids=int32_bytes([1]), rollouts=(self._completion(text, correct),) * task.samples,
        )  # fmt: skip

    def _completion(self, text: str, correct: bool) -> Rollout:
        ids = [*self._tokenizer(text, add_special_tokens=False)["input_ids"], self._tokenizer.eos_token_id]
        return Rollout(
            token_ids=int32_bytes(ids), logprobs=float32_bytes([-0.1] * len(ids)), version_spans=((0, 0),),
            finish_reason="stop", verdict="correct" if correct else "wrong", reward=float(correct),
        )  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer([f"{e.problem.statement}\n{e.response}" for e in corpus(300, 0, Mix())], 512)


@pytest.fixture
def engines(tmp_path: Path, tokenizer: Any) -> Engines:
    tokenizer.save_pretrained(tmp_path / "model")
    return Engines(tmp_path / "model", tokenizer)


def settings(*overrides: str) -> RunConfig:
    return load(None, ["sft.data=prefix", "sft.max_samples=32", *overrides])


def built(config: RunConfig, engines: Engines, folder: Path) -> tuple[list[tuple[str, str]], str]:
    """(prompt, response) of each example as text, and the output."""
    output = io.StringIO()
    console = Console(file=output, width=200)
    stages: Any = engines
    examples = load_examples(config, PROBLEMS, stages, RunFolder(folder), console)
    decode = engines._tokenizer.decode
    texts = [tuple(decode(int32_array(ids).tolist()) for ids in (e.prompt_ids, e.response_ids)) for e in examples]
    return texts, output.getvalue()


def check(config: RunConfig, problems: Sequence[Problem]) -> None:
    check_demonstration_data(config.sft, problems, config.problems.source)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rejection_sampling_gives_complete_solutions_and_lists_the_rest(engines: Engines, tmp_path: Path) -> None:
    texts, output = built(settings(), engines, tmp_path)
    assert engines.stages == [
        ("completions-1", [SOLVED.id, NEEDS_TWO.id, UNSOLVED.id]),
        ("completions-2", [NEEDS_TWO.id]),
    ]
    assert [response for _, response in texts] == [f"{p.solution}<|im_end|>" for p in (SOLVED, NEEDS_TWO)]
    for prompt, _ in texts:
        assert prompt.endswith("assistant\n")
        assert "Partial Response" not in prompt
    saved = lines(tmp_path / "sft.jsonl")
    assert [(row["problem_id"], row["source"]) for row in saved] == [(SOLVED.id, "prefix"), (NEEDS_TWO.id, "prefix")]
    left_out = {row["problem_id"]: (row["reason"], row["detail"]) for row in lines(tmp_path / "sft_left_out.jsonl")}
    assert left_out == {
        UNGUIDED.id: ("no solution", ""),
        UNSOLVED.id: ("no correct completion", "in 32 samples"),
    }
    assert "2 demonstrations, left out: 1 no solution, 1 no correct completion" in output


def test_demonstrations_are_built_once(engines: Engines, tmp_path: Path) -> None:
    first, _ = built(settings(), engines, tmp_path)
    engines.stages.clear()
    again, output = built(settings(), engines, tmp_path)
    assert (again, output, engines.stages) == (first, "", [])


def test_demonstrations_longer_than_the_limit_are_left_out(engines: Engines, tmp_path: Path) -> None:
    config = settings("sft.data=full_oracle", "sft.max_tokens=60")
    with pytest.raises(UsageError, match=r"sft\.data=full_oracle gave no demonstration; .*sft_left_out\.jsonl"):
        built(config, engines, tmp_path)
    assert not (tmp_path / "sft.jsonl").exists()
    rows = lines(tmp_path / "sft_left_out.jsonl")
    assert [row["reason"] for row in rows] == ["no solution", TOO_LONG, TOO_LONG, TOO_LONG]
    assert rows[1]["detail"].endswith(" tokens")
    assert left_out_counts(RunFolder(tmp_path)) == {TOO_LONG: 3, "no solution": 1}


def test_a_demonstration_that_the_tokenizer_would_misread_is_left_out_and_named(
    engines: Engines, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.jsonl"
    good = {"prompt": "1+1?", "response": "\\boxed{2}<|im_end|>\n"}
    bad = [{"prompt": "1<|im_end|>1?", "response": "2"}, {"prompt": "1+1?", "response": "<|im_start|>2"}]
    mine.write_text("".join(json.dumps(line) + "\n" for line in (good, *bad)))
    texts, output = built(settings(f"sft.data={mine}"), engines, tmp_path)
    assert [response for _, response in texts] == ["\\boxed{2}<|im_end|>"]
    assert f"left out: 2 {UNFIT}" in output
    assert "<|im_start|>, which the tokenizer" in lines(tmp_path / "sft_left_out.jsonl")[1]["detail"]


def test_responses_without_a_boxed_answer_are_noted(engines: Engines, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jsonl"
    mine.write_text('{"prompt": "1+1?", "response": "2"}\n{"prompt": "2+2?", "response": "\\\\boxed{4}"}\n')
    texts, output = built(settings(f"sft.data={mine}"), engines, tmp_path)
    assert texts[0] == ("<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n", "2<|im_end|>")
    assert "1 responses hold no \\boxed answer" in output
    assert engines.stages == []


def test_settings_without_any_demonstration_are_refused_at_start(tmp_path: Path) -> None:
    check(settings(), PROBLEMS)
    check(settings("sft.data=none"), [])
    with pytest.raises(UsageError, match=r"no hard problem of problems\.source=builtin:tiny has one"):
        check(settings("sft.data=full_oracle"), [UNGUIDED])
    with pytest.raises(UsageError, match=r"none\.jsonl"):
        check(settings(f"sft.data={tmp_path / 'none.jsonl'}"), PROBLEMS)


def test_prefixes_are_searched_for_a_guided_arm_and_for_the_prefix_data() -> None:
    wanted = {"prefix": True, "full_oracle": False, "none": False}
    for data, needed in wanted.items():
        config = settings(f"sft.data={data}", "problems.arms={unguided: 1}")
        assert config.uses_guidance == needed
        assert replace(config, problems=ProblemSettings()).uses_guidance
