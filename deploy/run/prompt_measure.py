"""Measures prompts with the tokenizer of the model, before a run makes or moves anything."""

from functools import partial
from typing import Any

from actors.problems.catalog import BUILTIN
from actors.problems.problem_set import ProblemSet
from actors.problems.prompt_lengths import PromptCheck, reject_long_prompts
from actors.prompts import PromptBuilder
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import RunConfig
from deploy.run.model_source import load_tokenizer, tokenizer_folder


def prompt_check(config: RunConfig) -> PromptCheck:
    """Rejects the problems whose prompt is longer than `actors.max_prompt_tokens`.

    The tokenizer is loaded when a set is checked. The built-in model may not exist yet; then every word of the problem
    counts as one token, a lower bound. The check raises UsageError if the tokenizer cannot be loaded.
    """
    return partial(_checked, config)


def _checked(config: RunConfig, problem_set: ProblemSet) -> ProblemSet:
    if not problem_set.problems:
        return problem_set
    exact = not config.model.path.startswith("builtin:")
    num_tokens = _Tokens(_prompt_builder(config)) if exact else _num_words
    guided = config.problems.arms.get("guided", 0) > 0
    return reject_long_prompts(problem_set, num_tokens, config.actors.max_prompt_tokens, guided=guided, exact=exact)


class _Tokens:
    def __init__(self, prompts: PromptBuilder) -> None:
        self._prompts = prompts

    def __call__(self, problem: Problem, guided: bool) -> int:
        return len(self._prompts.ids(problem, guided))


def _num_words(problem: Problem, guided: bool) -> int:
    if problem.source == BUILTIN:  # the built-in tokenizer joins words of its own domain
        return 0
    texts = (problem.system, problem.statement, problem.guidance if guided else None)
    return sum(len(text.split()) for text in texts if text)


def _prompt_builder(config: RunConfig) -> PromptBuilder:
    folder = tokenizer_folder(config.model)
    try:
        tokenizer: Any = load_tokenizer(folder)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"model.path={config.model.path}: its tokenizer cannot be loaded: {reason}") from error
    return PromptBuilder(tokenizer, config.guidance.instruction)
