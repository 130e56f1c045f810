"""Archived rollouts as text for the page, with the guidance marked in the prompt."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.prompts import PARTIAL_RESPONSE
from broker.errors import UsageError
from broker.records import Problem, Rollout, RolloutGroup, int32_array
from conf.plain import plain_lines
from deploy.report.run_records import RunRecords
from deploy.store.rollout_archive import read_rollouts
from deploy.store.run_folder import RunFolder
from learner.manifest import candidates

MOST_CHARS = 4000
"""Longer texts are cut."""
_STAGE = re.compile(r"(?P<stage>.+?)(?:-(?P<step>\d+))?-(?:guided|unguided|easy|easier)-[0-9a-f]{8}")
"""Name of a measurement's archive: after-157-unguided-c9500bc8."""


@dataclass(frozen=True)
class Excerpt:
    """A text without control characters, and how many of its characters are not shown."""

    text: str
    more_chars: int = 0


@dataclass(frozen=True)
class ShownRollout:
    """One rollout as text."""

    verdict: str
    tokens: int
    finish_reason: str
    version: int
    """Policy version of its last token."""
    completion: Excerpt


@dataclass(frozen=True)
class ShownGroup:
    """One archived group: its prompt in three parts, one correct rollout and one that is not, where it has them."""

    stage: str
    arm: str
    successes: int
    rollouts: int
    before: Excerpt
    guidance: Excerpt
    """Empty when the prompt has none."""
    after: Excerpt
    shown: tuple[ShownRollout, ...]


def shown_groups(run: RunRecords, problem_ids: Sequence[str]) -> tuple[dict[str, list[ShownGroup]], str]:
    """Problem -> its archived groups in the order of the measurements, and the reason when there are none."""
    folder = RunFolder(run.path)
    archives = sorted(folder.sampling.glob("*.results"), key=lambda path: path.stat().st_mtime_ns)
    stages = [(path, _stage(match)) for path in archives if (match := _STAGE.fullmatch(path.stem))]
    if not stages:
        return {}, f"{folder.sampling} has no rollouts of a measurement"
    tokenizer = _tokenizer(run, folder)
    if tokenizer is None:
        return {}, "neither a checkpoint of the run nor its model folder has a tokenizer.json to decode rollouts with"
    problems = {problem.id: problem for problem in run.problems}
    found: dict[str, list[ShownGroup]] = {id: [] for id in problem_ids}
    for path, stage in stages:
        for group in read_rollouts(path.with_suffix(""), set(problem_ids)):
            found[group.problem_id].append(_shown_group(group, stage, problems.get(group.problem_id), tokenizer))
    return found, ""


def _stage(match: re.Match[str]) -> str:
    name = match["stage"].replace("_", " ")
    return name if match["step"] is None else f"{name}, step {match['step']}"


def _shown_group(group: RolloutGroup, stage: str, problem: Problem | None, tokenizer: Any) -> ShownGroup:
    prompt = tokenizer.decode(int32_array(group.prompt_ids).tolist(), skip_special_tokens=True)
    before, guidance, after = split_at_guidance(prompt, problem.guidance if problem else None)
    return ShownGroup(
        stage=stage,
        arm=group.arm,
        successes=group.num_successes,
        rollouts=len(group.policy_rollouts),
        before=excerpt(before),
        guidance=excerpt(guidance),
        after=excerpt(after),
        shown=tuple(_rollout(rollout, tokenizer) for rollout in _examples(group)),
    )


def split_at_guidance(prompt: str, guidance: str | None) -> tuple[str, str, str]:
    """(text before the guidance, the guidance, text after it). Without guidance, the first part is the whole prompt.

    The guidance is searched for where `actors/prompts.py` puts it, so that a statement that quotes it is not marked.
    """
    place = prompt.rfind(PARTIAL_RESPONSE + guidance) if guidance else -1
    if not guidance or place < 0:
        return prompt, "", ""
    start = place + len(PARTIAL_RESPONSE)
    return prompt[:start], guidance, prompt[start + len(guidance) :]


def excerpt(text: str) -> Excerpt:
    return Excerpt(plain_lines(text[:MOST_CHARS]), max(0, len(text) - MOST_CHARS))


def _examples(group: RolloutGroup) -> Iterator[Rollout]:
    """The first correct rollout and the first that is not."""
    for correct in (True, False):
        yield from [c for c in group.policy_rollouts if (c.verdict == "correct") is correct][:1]


def _rollout(rollout: Rollout, tokenizer: Any) -> ShownRollout:
    return ShownRollout(
        verdict=rollout.verdict.replace("_", " "),
        tokens=rollout.num_tokens,
        finish_reason=rollout.finish_reason,
        version=rollout.version_spans[-1][1],
        completion=excerpt(tokenizer.decode(int32_array(rollout.token_ids).tolist(), skip_special_tokens=False)),
    )


def _tokenizer(run: RunRecords, folder: RunFolder) -> Any:
    """The run's tokenizer; None when there is no tokenizer.json. Raises UsageError for a damaged one."""
    from tokenizers import Tokenizer

    newest = sorted(candidates(folder.checkpoints), reverse=True)
    places = [*(path for _, path in newest), Path(run.config.model.path).expanduser()]
    file = next((path / "tokenizer.json" for path in places if (path / "tokenizer.json").exists()), None)
    if file is None:
        return None
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises Exception itself
        raise UsageError(
            f"{file} is not a tokenizer: {error}; move it away to get a report without rollouts"
        ) from error
