"""Rejects the problems whose prompt the engine would refuse, before anything is sampled. Pure.

How long a prompt is depends on the model. `deploy/run/prompt_measure.py` gives the number of its tokens, or a bound.
"""

from collections.abc import Callable

from actors.problems.problem_set import ProblemSet, RejectedRow
from broker.errors import UsageError
from broker.records import Problem

PromptCheck = Callable[[ProblemSet], ProblemSet]
"""Returns the set without the problems whose prompt cannot be sampled."""
PromptMeasure = Callable[[Problem, bool], int]
"""(problem, whether its prompt is the guided one) -> tokens. Raises UsageError if there is no such prompt."""


def reject_long_prompts(
    problem_set: ProblemSet, num_tokens: PromptMeasure, max_tokens: int, *, guided: bool, exact: bool
) -> ProblemSet:
    """Rejects problems whose prompt cannot be rendered or is longer than `max_tokens`.

    `guided`: hard problems with guidance are also trained with it. `exact`: `num_tokens` is no mere lower bound.
    """
    at_least = "" if exact else "at least "
    rejected = []
    for problem in problem_set.problems:
        row = problem_set.rows.get(problem.id, 0)
        with_guidance = guided and problem.bucket == "hard" and bool(problem.guidance)
        try:
            lengths = {"prompt": num_tokens(problem, False)}
            if with_guidance:
                lengths["guided prompt"] = num_tokens(problem, True)
        except UsageError as error:
            rejected.append(RejectedRow(row, problem.id, "unusable_prompt", str(error)))
            continue
        for name, length in lengths.items():
            if length > max_tokens:
                detail = f"its {name} has {at_least}{length} tokens, actors.max_prompt_tokens={max_tokens}; raise it"
                rejected.append(RejectedRow(row, problem.id, "prompt_too_long", detail))
                break
    return problem_set.without(rejected) if rejected else problem_set
