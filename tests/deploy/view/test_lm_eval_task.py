"""Tasks of lm-evaluation-harness: every field is one of its task guide, and asks and compares what it should."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import load_dataset
from jinja2 import Environment, StrictUndefined

from actors.prompts import unguided_message
from broker.records import Problem
from conf.load import load
from deploy.view.lm_eval_task import BOX, task_files, task_name

DOCUMENTED = {
    "task": str, "dataset_path": str, "dataset_kwargs": dict, "test_split": str, "description": str, "doc_to_text": str,
    "doc_to_target": str, "num_fewshot": int, "output_type": str, "generation_kwargs": dict, "filter_list": list,
    "metric_list": list, "metadata": dict,
}  # fmt: skip
"""Field of the harness's task guide -> type. The harness refuses others."""
PROBLEMS = [
    Problem(id="a", statement='Is "{{ 1 + 1 }}" 2?\nSay \\sqrt{2}: é', answer="\\sqrt{2}", bucket="hard", source="s"),
    Problem(id="b", statement="What is 1/2?", answer="\\frac{1}{2}", bucket="hard", source="s"),
]


def written(folder: Path, *settings: str) -> dict[str, Any]:
    """The task of the problems, as YAML reads it."""
    for name, content in task_files("AIME-2025", PROBLEMS, load(None, list(settings))).items():
        (folder / name).write_text(content, encoding="utf-8")
    task: dict[str, Any] = yaml.safe_load((folder / "pope_aime_2025.yaml").read_text(encoding="utf-8"))
    return task


def test_every_field_is_documented_and_of_its_type(tmp_path: Path) -> None:
    task = written(tmp_path, "prompts.system=Be brief.")
    assert task.keys() <= DOCUMENTED.keys()
    assert all(isinstance(value, DOCUMENTED[name]) for name, value in task.items())
    assert task["task"] == task_name("AIME-2025") == "pope_aime_2025"
    assert task["output_type"] == "generate_until"
    assert task["description"] == "Be brief."
    assert [step["function"] for step in task["filter_list"][0]["filter"]] == ["regex", "take_first"]
    assert "description" not in written(tmp_path)


def test_generation_samples_as_the_evaluation_does(tmp_path: Path) -> None:
    settings = ("evaluation.temperature=0.6", "evaluation.top_p=0.95", "evaluation.top_k=20")
    assert written(tmp_path, *settings)["generation_kwargs"] == {
        "until": [], "do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "max_gen_toks": 256,
    }  # fmt: skip


def test_the_data_file_is_found_in_its_folder_and_rendered_to_the_unguided_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = written(tmp_path)
    monkeypatch.chdir(tmp_path)
    kind, split = task["dataset_path"], task["test_split"]
    rows = load_dataset(kind, split=split, cache_dir=tmp_path / "cache", **task["dataset_kwargs"])
    jinja = Environment(undefined=StrictUndefined, autoescape=False)
    for problem, row in zip(PROBLEMS, rows, strict=True):
        assert jinja.from_string(task["doc_to_text"]).render(row) == unguided_message(problem.statement)
        assert jinja.from_string(task["doc_to_target"]).render(row) == problem.answer


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("so \\boxed{4}.", "4"),
        ("first \\boxed{3}, no: \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed {\\sqrt{\\frac{a}{b^{2}}}} done", "\\sqrt{\\frac{a}{b^{2}}}"),
        ("no box", None),
    ],
)
def test_the_filter_finds_the_last_box(response: str, found: str | None, tmp_path: Path) -> None:
    step = written(tmp_path)["filter_list"][0]["filter"][0]
    assert step["regex_pattern"] == BOX
    boxes = re.findall(step["regex_pattern"], response)
    assert (boxes[step["group_select"]] if boxes else None) == found


def test_lines_of_data_are_json_objects_of_one_line() -> None:
    data = task_files("s", PROBLEMS, load(None))["pope_s.jsonl"]
    assert [json.loads(line)["id"] for line in data.splitlines()] == ["a", "b"]
