"""The guidance search as a stage: chooses the guidance of the hard problems of a run."""

from collections.abc import Sequence

from actors.problems.prefix_search import PrefixSearch
from broker.errors import UsageError
from broker.records import Problem
from conf.schema import GuidanceSettings, RunConfig
from deploy.stages.stage_sequence import Stages
from deploy.store.measurements import with_guidance


def choose_guidance(
    stages: Stages, problems: Sequence[Problem], settings: GuidanceSettings, seed: int
) -> tuple[list[Problem], PrefixSearch]:
    """Search the shortest useful prefix for every hard problem that has a solution and no guidance yet.

    Returns all problems, with the guidance that was chosen, and the search.
    """
    searched = _without_guidance(problems)
    search = PrefixSearch(searched, settings, seed)
    if searched:
        stages.run("choose guidance", "guidance", search, searched, source="guidance")
    return with_guidance(problems, search.chosen()), search


def check_search(config: RunConfig, problems: Sequence[Problem]) -> None:
    """Raises UsageError if the run would have to search guidance and `guidance.search` is false."""
    missing = _without_guidance(problems)
    if missing and config.uses_guidance and not config.guidance.search:
        raise UsageError(
            f"guidance.search=false, and {len(missing)} hard problems of problems.source={config.problems.source} have "
            f"no guidance, such as {missing[0].id}: run pope mine --guidance and train on its problems.jsonl, or set "
            "guidance.search=true to search while the learner waits"
        )


def _without_guidance(problems: Sequence[Problem]) -> list[Problem]:
    return [p for p in problems if p.bucket == "hard" and p.solution and p.guidance is None]
