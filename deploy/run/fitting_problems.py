"""The problems of a run that can be given to its model, chosen before an engine starts."""

from dataclasses import replace
from pathlib import Path

import msgspec

from actors.problems.jsonl import write_lines
from actors.problems.problem_set import ProblemSet
from actors.prompt_checks import PromptCheck, check_prompts
from broker.errors import UsageError
from broker.records import Problem
from deploy.run.model_prompts import ModelPrompts
from deploy.run.session import Session


def fitting_problems(
    session: Session, model_path: Path, problem_set: ProblemSet, *, as_guidance: bool, as_response: bool = False
) -> list[Problem]:
    """The problems whose prompts reach the model as they are; the others are rejected by name and counted.

    `as_guidance`, `as_response`: see `PromptCheck`. Raises UsageError if a bucket loses all its problems.
    """
    config, folder = session.config, session.folder
    check = PromptCheck(config.actors.max_prompt_tokens, as_guidance=as_guidance, as_response=as_response)
    checked = check_prompts(problem_set, ModelPrompts.of(config, model_path).builder, check)
    new = replace(checked, rejected=[row for row in checked.rejected if row not in problem_set.rejected])
    if new.rejected:
        earlier = folder.rejected.read_bytes().splitlines() if folder.rejected.exists() else []
        write_lines(folder.rejected, list(dict.fromkeys([*earlier, *map(msgspec.json.encode, new.rejected)])))
        session.console.print(f"  for this model: {new.explain()} ({folder.rejected})", highlight=False, soft_wrap=True)
    for bucket in sorted({problem.bucket for problem in problem_set.problems} - {p.bucket for p in checked.problems}):
        first = new.rejected[0]
        raise UsageError(
            f"problems.source={config.problems.source}: no {bucket} problem can be given to this model; the first one, "
            f"{first.id}: {first.detail} ({folder.rejected} has all)"
        )
    return checked.problems
