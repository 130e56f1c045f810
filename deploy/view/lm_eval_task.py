"""A problem set as a task of lm-evaluation-harness: NAME.yaml and NAME.jsonl. Pure.

The task asks the unguided prompt and compares the last box of the answer with the reference answer, as text. This is
stricter than `pope eval`, which compares values: 0.5 is 1/2 here only if it is written so. One sample is drawn for each
problem.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from actors.prompts import unguided_message
from broker.records import Problem
from conf.schema import RunConfig

BOX = r"\\boxed\s*\{((?:[^{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})*)\}"
"""The content of a box, with braces up to three deep inside."""


def task_name(set_name: str) -> str:
    """`aime-2025` -> `pope_aime_2025`"""
    return "pope_" + re.sub(r"[^a-z0-9]+", "_", set_name.lower()).strip("_")


def task_files(set_name: str, problems: Sequence[Problem], config: RunConfig) -> dict[str, str]:
    """File name -> its content. System messages of single problems cannot be given to the harness and are left out."""
    name = task_name(set_name)
    rows = [
        {"id": problem.id, "prompt": unguided_message(problem.statement.strip()), "answer": problem.answer}
        for problem in problems
    ]
    data = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return {f"{name}.yaml": _yaml(name, config), f"{name}.jsonl": data}


def _yaml(name: str, config: RunConfig) -> str:
    """Every value is written as JSON, which is YAML."""
    sampling = config.evaluation_sampling
    generation: dict[str, Any] = {"until": [], "do_sample": True, "temperature": sampling.temperature}
    generation |= {"top_p": sampling.top_p, "max_gen_toks": sampling.max_completion_tokens}
    if sampling.top_k is not None:
        generation["top_k"] = sampling.top_k
    boxed = [{"function": "regex", "regex_pattern": BOX, "group_select": -1}, {"function": "take_first"}]
    task: dict[str, Any] = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        "output_type": "generate_until",
        "num_fewshot": 0,
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": generation,
        "filter_list": [{"name": "boxed", "filter": boxed}],
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    if config.prompts.system is not None:
        task["description"] = config.prompts.system
    head = (
        "# Written by pope eval. The data file is found in the current folder, so run it here:\n"
        "#   lm_eval --model vllm --model_args pretrained=MODEL --apply_chat_template --include_path . \\\n"
        f"#     --tasks {name}\n"
    )
    return head + "".join(f"{key}: {json.dumps(value)}\n" for key, value in task.items())
