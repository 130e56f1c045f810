"""The guidance search as a stage: chooses the guidance of the hard problems of a run."""

from collections.abc import Sequence

from actors.problems.prefix_search import PrefixSearch
from broker.records import Problem
from conf.schema import GuidanceSettings
from deploy.stages.stage_sequence import Stages
from deploy.store.measurements import with_guidance


def choose_guidance(
    stages: Stages, problems: Sequence[Problem], settings: GuidanceSettings, seed: int
) -> tuple[list[Problem], PrefixSearch]:
    """Search the shortest useful prefix for every hard problem that has a solution and no guidance yet.

    Returns all problems, with the guidance that was chosen, and the search.
    """
    searched = [p for p in problems if p.bucket == "hard" and p.solution and p.guidance is None]
    search = PrefixSearch(searched, settings, seed)
    if searched:
        stages.run("choose guidance", "guidance", search, searched, source="guidance")
    return with_guidance(problems, search.chosen()), search
