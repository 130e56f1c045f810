"""The search for guidance as a stage: the hard problems of a run get the prefixes POPE guides them with."""

from collections.abc import Sequence

from actors.problems.prefix_search import PrefixSearch
from broker.records import Problem
from conf.schema import RunConfig
from deploy.stages.stage_sequence import Stages
from deploy.store.measurements import with_guidance


def choose_guidance(
    stages: Stages, config: RunConfig, problems: Sequence[Problem]
) -> tuple[list[Problem], PrefixSearch]:
    """Search the shortest useful prefix for every hard problem that has a solution and no guidance yet.

    Returns all problems, those with their guidance, and the search.
    """
    searched = [p for p in problems if p.bucket == "hard" and p.solution and p.guidance is None]
    search = PrefixSearch(searched, config.guidance, config.run.seed)
    if searched:
        stages.run("choose guidance", "guidance", search, searched, source="guidance")
    return with_guidance(problems, search.chosen()), search
