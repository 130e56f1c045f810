"""How many hard problems a run has, as far as that can be told without a network."""

from dataclasses import dataclass
from pathlib import Path

from actors.problems.catalog import BUILTIN
from actors.problems.problem_sources import read_source
from conf.schema import RunConfig

ASSUMED = 256
"""Hard problems of a source that is not here and has no limit: those of the paper (section 3.2)."""


@dataclass(frozen=True)
class ProblemCounts:
    """The hard problems of a run."""

    hard: int
    without_guidance: int
    """Those whose guidance has to be searched for."""
    source: str
    """Where the numbers come from, in words."""


def count_problems(config: RunConfig) -> ProblemCounts:
    """The rows of a file are read without parsing their answers. Raises UsageError for a file that cannot be read."""
    problems, limit = config.problems, config.problems.limit.get("hard")
    if problems.source in BUILTIN:
        return ProblemCounts(problems.num_hard, problems.num_hard, "problems.num_hard")
    if Path(problems.source).expanduser().exists():
        hard = [problem for problem in read_source(problems, config.run.seed).problems if problem.bucket == "hard"]
        searched = sum(problem.guidance is None and bool(problem.solution) for problem in hard)
        number = len(hard) if limit is None else min(limit, len(hard))
        return ProblemCounts(number, min(searched, number), f"rows of {problems.source}")
    number = ASSUMED if limit is None else limit
    source = "assumed" if limit is None else "problems.limit.hard"
    return ProblemCounts(number, number if config.guidance.search else 0, f"{source}; {problems.source} is not here")
