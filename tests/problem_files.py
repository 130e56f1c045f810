"""Reads back files of problems that the product or a test wrote."""

from pathlib import Path

from actors.problems.problem_sources import read_source
from broker.records import Problem
from conf.schema import ProblemSettings


def read_problems(path: Path) -> list[Problem]:
    """The problems of a file without any rejected row."""
    problem_set = read_source(ProblemSettings(source=str(path)), 0)
    assert not problem_set.rejected
    return problem_set.problems
