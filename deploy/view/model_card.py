"""The model card of a published checkpoint: what it is made from, how, how well it does, and how it is used."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.evaluation.results import EvaluationReport, Result, evaluation_report
from actors.problems.prefix_search import PrefixKind, describe_kinds
from actors.prompts import unguided_message
from broker.records import Problem
from conf.plain import plain_markdown
from conf.schema import RunConfig
from deploy.view.evaluation_tables import detail_table, to_markdown

METHOD = (
    "problems.arms", "guidance.instruction", "preprocess.advantage", "learner.policy_loss", "learner.learning_rate",
    "learner.batch_samples", "learner.max_lag", "learner.kl_coef", "actors.group_size", "actors.temperature",
    "actors.max_prompt_tokens", "actors.max_completion_tokens", "sft.data", "model.dtype",
)  # fmt: skip
"""Settings that a card lists; pope.json beside it holds all."""
MEASURED = {"before": "before", "sft": "after fine-tuning", "after": "after", "held_out": "after, on unseen problems"}
"""Name of a measurement -> its words in the table."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Published:
    """What is known of a checkpoint that is published."""

    config: RunConfig
    step: int | None
    """Optimizer step; None for a model that was fine-tuned only."""
    base: str
    """As `public_name` gives it."""
    licence: str | None
    """SPDX identifier, or the hub's word, of the base model's licence; None if it is not known."""
    problems: Sequence[Problem]
    guidance: Mapping[PrefixKind, int] | None
    """Number of hard problems by the kind of their guidance."""
    measured: Mapping[str, Mapping[str, Sequence[Result]]]
    """Of this checkpoint and of its base: when -> arm -> one result a problem."""
    reports: Sequence[EvaluationReport]
    """Evaluations by `pope eval`."""
    version: str
    """Of pope-rl."""


def public_name(path: str) -> str:
    """A name for a model or a file that tells nothing of the folders of this machine.

    >>> public_name("Qwen/Qwen3-0.6B"), public_name("/home/me/runs/first/checkpoints/step-000200")
    ('Qwen/Qwen3-0.6B', 'first, step-000200')
    """
    parts = Path(path).parts
    if path.startswith("builtin:") or (_HUB_ID.fullmatch(path) and not Path(path).exists()):
        return path
    if len(parts) > 1 and parts[-1] == "problems.jsonl":  # of a run
        return f"{parts[-2]}, problems.jsonl"
    if len(parts) > 2 and parts[-2] in ("checkpoints", "sft"):
        return f"{parts[-3]}, {parts[-1]}"
    return parts[-1] if parts else path


def card(published: Published) -> str:
    """The README.md of the folder. Names and numbers of others are escaped."""
    sections = (_usage, _data, _method, _evaluation, _licence)
    title = f"# {plain_markdown(published.config.run.name)}\n\n{_summary(published)}\n"
    return f"{_front_matter(published)}\n{title}" + "".join(f"\n{section(published)}" for section in sections)


def _front_matter(published: Published) -> str:
    """Metadata that the hub reads. JSON texts are YAML."""
    entries: dict[str, Any] = {"license": published.licence} if published.licence else {}
    if _HUB_ID.fullmatch(published.base):
        entries["base_model"] = published.base
    entries |= {"library_name": "transformers", "pipeline_tag": "text-generation"}
    entries["tags"] = ["pope-rl", "reinforcement-learning"]
    return "---\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in entries.items()) + "---\n"


def _summary(published: Published) -> str:
    base, run = plain_markdown(published.base), published.config.run
    if published.step is None:
        done = f"{base}, fine-tuned on demonstrations (sft.data={published.config.sft.data})"
    else:
        done = f"{base} after {published.step} steps of reinforcement learning on problems it could not solve"
    return (
        f"{done}. Made by pope-rl {published.version}, which implements POPE "
        f"([arXiv 2601.18779](https://arxiv.org/abs/2601.18779)); seed {run.seed}. All settings are in `pope.json`."
    )


def _usage(published: Published) -> str:
    prompts, tokens = published.config.prompts, published.config.evaluation_sampling.max_completion_tokens
    message = unguided_message("PROBLEM").replace("PROBLEM", "", 1)
    turns = '[{"role": "user", "content": problem + request}]'
    if prompts.system is not None:
        turns = f'[{{"role": "system", "content": {json.dumps(prompts.system)}}}, {turns[1:]}'
    kwargs = "".join(f", {name}={value!r}" for name, value in prompts.template_kwargs.items())
    body = {"chat_template_kwargs": prompts.template_kwargs} if prompts.template_kwargs else {}
    served = f" (with `{json.dumps(body)}` in the body of a request)" if body else ""
    return f"""## Use

The model was trained and measured on prompts of this form: the problem and a request for the final answer, in its chat
template.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder, or its name on the hub
problem = "What is 2 + 2?"
request = {json.dumps(message)}
messages = {turns}

tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
prompt = tokenizer.apply_chat_template(
    messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"{kwargs}
)
output = model.generate(**prompt, max_new_tokens={tokens})
print(tokenizer.decode(output[0, prompt["input_ids"].shape[1]:]))
```

`vllm serve .` serves the same model over HTTP{served}. Both take the ends of a response and the sampling
({plain_markdown(published.config.evaluation_sampling)}) from `generation_config.json`, as in the evaluation below.
"""


def _data(published: Published) -> str:
    problems = published.config.problems
    counts = Counter(problem.bucket for problem in published.problems)
    buckets = ", ".join(f"{count} {bucket}" for bucket, count in sorted(counts.items())) or "none on record"
    lines = [f"Problems of {plain_markdown(public_name(problems.source))}: {buckets}."]
    if published.guidance is not None:
        lines.append(f"Guidance: {describe_kinds(published.guidance)}.")
    if published.config.sft.enabled:
        lines.append(f"Demonstrations: {plain_markdown(public_name(published.config.sft.data))}.")
    return "## Data\n\n" + " ".join(lines) + "\n"


def _method(published: Published) -> str:
    rows = [[f"`{name}`", plain_markdown(_shown(published.config, name))] for name in METHOD]
    return f"## Method\n\n{_two_columns(rows)}"


def _shown(config: RunConfig, name: str) -> str:
    section, _, key = name.partition(".")
    value = getattr(getattr(config, section), key)
    if name == "sft.data":
        return public_name(value)
    return json.dumps(value) if isinstance(value, dict) or value is None else str(value)


def _two_columns(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {name} | {value} |\n" for name, value in (("setting", "value"), ("---", "---"), *rows))


def _evaluation(published: Published) -> str:
    parts = list(_tables(published))
    return "## Evaluation\n\n" + ("\n".join(parts) if parts else "Not measured.\n")


def _tables(published: Published) -> Iterator[str]:
    config = published.config
    rows = [
        evaluation_report(
            {"hard": results}, config.evaluation.k, f"{MEASURED.get(when, when)}, {arm}",
            sampling=config.evaluation_sampling, seed=config.run.seed,
        )
        for when, arms in published.measured.items() for arm, results in arms.items() if results
    ]  # fmt: skip
    if rows:
        yield (
            "Hard problems, which are the ones it was trained on unless a row says otherwise; before: its base model. "
            f"`guided` prompts hold a part of a solution, `unguided` ones do not.\n\n{detail_table(rows)}"
        )
    if published.reports:
        yield f"Other problem sets, without guidance:\n\n{to_markdown(published.reports)}"


def _licence(published: Published) -> str:
    base = plain_markdown(published.base)
    known = "is not on record here; it" if published.licence is None else f"is {plain_markdown(published.licence)}; it"
    return f"## Licence\n\nThe weights are derived from {base}, whose licence {known} applies to them as well.\n"
