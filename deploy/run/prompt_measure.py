"""Which problems of a source have a prompt that the model of the settings can be given, for `pope problems check`.

A run decides this again when its model is there (`fitting_problems.py`).
"""

from collections.abc import Iterator

from actors.problems.problem_set import ProblemSet, RejectedRow
from actors.problems.tiny.problems import SOURCE as TINY
from broker.errors import UsageError
from conf.schema import RunConfig
from deploy.run.model_source import tokenizer_folder


def with_fitting_prompts(config: RunConfig, problem_set: ProblemSet) -> ProblemSet:
    """Rejects the problems whose prompt is longer than `actors.max_prompt_tokens` or does not reach the model as it is.

    Only the tokenizer of `model.path` is needed. The built-in model may not exist yet; then the words of a problem are
    counted, fewer than its tokens. Raises UsageError if the tokenizer cannot be loaded or its template not be used.
    """
    if config.problems.source == TINY or not problem_set.problems:
        return problem_set
    if config.model.path.startswith("builtin:"):
        return problem_set.without(_too_many_words(problem_set, config.actors.max_prompt_tokens))
    from actors.prompt_checks import PromptCheck, check_prompts
    from deploy.run.model_prompts import ModelPrompts  # loads transformers

    try:
        prompts = ModelPrompts.of(config, tokenizer_folder(config.model)).builder
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"model.path={config.model.path}: its tokenizer cannot be loaded: {reason}") from error
    check = PromptCheck(
        config.actors.max_prompt_tokens, as_guidance=config.uses_guidance, as_response=config.actors.oracle_member
    )
    return check_prompts(problem_set, prompts, check)


def _too_many_words(problem_set: ProblemSet, max_tokens: int) -> Iterator[RejectedRow]:
    for problem in problem_set.problems:
        num_words = len(f"{problem.system or ''} {problem.statement}".split())
        if num_words > max_tokens and problem.source != TINY:  # its tokenizer joins the words of its own domain
            yield RejectedRow(
                problem_set.rows.get(problem.id, 0), problem.id, "prompt_too_long",
                f"its prompt has more than {num_words} tokens, actors.max_prompt_tokens={max_tokens}; raise the "
                "setting, or remove the row",
            )  # fmt: skip
