"""The longest prefix that the guided groups of a problem may have, for a `guidance.length` that changes in training."""

from collections.abc import Sequence

import msgspec

from actors.chat_template import PromptFault
from actors.problems.guidance import Prefixes
from actors.problems.length_rules import largest_share
from actors.prompts import PromptBuilder
from broker.records import Problem
from conf.schema import GuidanceSettings


def with_longest_prefixes(
    problems: Sequence[Problem], prompts: PromptBuilder, settings: GuidanceSettings, max_prompt_tokens: int
) -> list[Problem]:
    """The problems; the guidance of the hard ones is the longest prefix that a group may have.

    That is the prefix nearest to the largest share of the rule, or the longest below it whose prompt has at most
    `max_prompt_tokens` tokens. It is empty without a solution, or if even the first step shows the answer or is too
    long: such a problem is not trained with guidance. A guidance that a problem had before is replaced.
    """

    def fits(problem: Problem) -> bool:
        try:
            return len(prompts.ids(problem, guided=True)) <= max_prompt_tokens
        except PromptFault:
            return False

    def longest(problem: Problem) -> Problem:
        prefixes = Prefixes.of(problem)
        at_most = prefixes.nearest(largest_share(settings))
        cut = (
            msgspec.structs.replace(problem, guidance=prefixes.solution[:length])
            for length in reversed(prefixes.lengths)
            if length <= at_most
        )
        return next(problem for problem in cut if not problem.guidance or fits(problem))

    return [longest(problem) if problem.bucket == "hard" else problem for problem in problems]
