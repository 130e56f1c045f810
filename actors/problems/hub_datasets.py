"""Data sets of the Hugging Face hub by short name: their location and their columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HubDataset:
    """One data set. `columns`: problem field -> column; `a.b` is b inside a, `a.0` the first of the list a."""

    hub_id: str
    split: str
    """The split that is read if `problems.split` is null."""
    columns: Mapping[str, str] = field(default_factory=lambda: {"statement": "problem", "answer": "answer"})
    config: str | None = None
    strip_instructions: Callable[[str], str] | None = None
    """Removes the instructions that the data set adds to every statement."""
    unique_by: str | None = None
    """Column that identifies a problem; only the first of its rows with equal values is read."""


def strip_dapo_instructions(statement: str) -> str:
    """Removes the requests for `Answer: ...` before and after each problem; prompts ask for a box instead."""
    before, blank, rest = statement.partition("\n\n")
    if blank and before.startswith("Solve the following math problem step by step."):
        statement = rest
    body, blank, after = statement.rpartition("\n\n")
    return body if blank and after.startswith("Remember to put your answer on its own line") else statement


_WITH_SOLUTION = {"statement": "problem", "answer": "answer", "solution": "solution"}

HUB_DATASETS: dict[str, HubDataset] = {
    "dapo-math-17k": HubDataset(
        "BytedTsinghua-SIA/DAPO-Math-17k",
        split="train",
        columns={"statement": "prompt", "answer": "reward_model.ground_truth"},
        strip_instructions=strip_dapo_instructions,
        unique_by="extra_info.index",  # the file repeats every problem about a hundred times
    ),
    "omni-math": HubDataset("KbsdJames/Omni-MATH", split="test", columns={**_WITH_SOLUTION, "level": "difficulty"}),
    "acereason-math": HubDataset("nvidia/AceReason-Math", split="train"),
    "aime-2025": HubDataset("MathArena/aime_2025", split="train"),
    "hmmt-2025": HubDataset("MathArena/hmmt_feb_2025", split="train"),
    "gsm8k": HubDataset(
        "openai/gsm8k", split="train", config="main", columns={"statement": "question", "answer": "answer"}
    ),
    "math-500": HubDataset("HuggingFaceH4/MATH-500", split="test", columns={**_WITH_SOLUTION, "level": "level"}),
}
"""Short name -> data set. `conf/rules/problems.py` lists the same names."""
