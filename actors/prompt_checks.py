"""Which problems can be given to the model as they are: their prompts, and the solutions that become part of one."""

from dataclasses import dataclass, replace

from actors.chat_template import PromptFault
from actors.problems.problem_set import ProblemSet, RejectedRow, RejectionReason
from actors.prompts import PromptBuilder
from broker.records import Problem


@dataclass(frozen=True)
class PromptCheck:
    """What a run does with its problems."""

    max_prompt_tokens: int
    as_guidance: bool
    """Prefixes of the solutions become part of prompts."""
    as_response: bool
    """Solutions are trained as responses of a group (LUFFY)."""


def check_prompts(problem_set: ProblemSet, prompts: PromptBuilder, check: PromptCheck) -> ProblemSet:
    """Rejects the problems whose prompt, or solution where it is used, does not reach the model as it is."""
    kept: list[Problem] = []
    rejected: list[RejectedRow] = []
    for problem in problem_set.problems:
        if fault := _fault(problem, prompts, check):
            rejected.append(RejectedRow(problem_set.rows.get(problem.id, 0), problem.id, *fault))
        else:
            kept.append(problem)
    if not rejected:
        return problem_set
    rows = sorted([*problem_set.rejected, *rejected], key=lambda row: row.row)
    return replace(problem_set, problems=kept, rejected=rows)


def _fault(problem: Problem, prompts: PromptBuilder, check: PromptCheck) -> tuple[RejectionReason, str] | None:
    """(reason, detail) of the first thing that is wrong."""
    try:
        tokens = len(prompts.ids(problem, guided=False))
        if tokens > check.max_prompt_tokens:
            return "prompt_too_long", (
                f"its prompt has {tokens} tokens, actors.max_prompt_tokens={check.max_prompt_tokens}; raise the "
                "setting, or remove the row"
            )
        if check.as_guidance and problem.bucket == "hard" and problem.guidance:
            tokens = len(prompts.ids(problem, guided=True))
            if tokens > check.max_prompt_tokens:
                return "prompt_too_long", (
                    f"its guided prompt has {tokens} tokens, actors.max_prompt_tokens={check.max_prompt_tokens}; raise "
                    "the setting, or shorten its guidance"
                )
        guidance = problem.solution if problem.guidance is None else problem.guidance
        if check.as_guidance and problem.bucket == "hard" and guidance:
            prompts.template.check_quotable(guidance)
        if check.as_response and problem.bucket == "hard" and problem.solution:
            prompts.response_ids(problem.solution)
    except PromptFault as fault:
        return fault.reason, str(fault)
    return None
