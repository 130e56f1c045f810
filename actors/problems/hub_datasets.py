"""Data sets of the Hugging Face hub by short names: one record says where a set is and how its rows look."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HubSet:
    """One data set. Its columns are named by our fields; `a.b` is b inside a, `a.0` the first of the list a."""

    hub_id: str
    split: str
    """Which split, unless `problems.split` says."""
    columns: Mapping[str, str] = field(default_factory=lambda: {"statement": "problem", "answer": "answer"})
    config: str | None = None
    tidy: Callable[[str], str] | None = None
    """Takes off what the set wraps around every statement."""
    unique_by: str | None = None
    """Rows that are equal here are one row that the set repeats."""


def without_dapo_request(statement: str) -> str:
    """DAPO-Math-17k asks for `Answer: ...` before and after each problem; our prompts ask for a box themselves."""
    before, blank, rest = statement.partition("\n\n")
    if blank and before.startswith("Solve the following math problem step by step."):
        statement = rest
    body, blank, after = statement.rpartition("\n\n")
    return body if blank and after.startswith("Remember to put your answer on its own line") else statement


_WITH_SOLUTION = {"statement": "problem", "answer": "answer", "solution": "solution"}

HUB: dict[str, HubSet] = {
    "dapo-math-17k": HubSet(
        "BytedTsinghua-SIA/DAPO-Math-17k",
        split="train",
        columns={"statement": "prompt.0.content", "answer": "reward_model.ground_truth"},
        tidy=without_dapo_request,
        unique_by="extra_info.index",  # the file holds every problem about a hundred times
    ),
    "omni-math": HubSet("KbsdJames/Omni-MATH", split="test", columns={**_WITH_SOLUTION, "level": "difficulty"}),
    "acereason-math": HubSet("nvidia/AceReason-Math", split="train"),
    "aime-2025": HubSet("MathArena/aime_2025", split="train"),
    "hmmt-2025": HubSet("MathArena/hmmt_feb_2025", split="train"),
    "gsm8k": HubSet(
        "openai/gsm8k", split="train", config="main", columns={"statement": "question", "answer": "answer"}
    ),
    "math-500": HubSet("HuggingFaceH4/MATH-500", split="test", columns={**_WITH_SOLUTION, "level": "level"}),
}
"""Short name -> data set; `conf/rules/problems.py` lists the same names."""
