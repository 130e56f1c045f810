"""Which problems are measured, and that a run may refuse to search guidance."""

from pathlib import Path

import pytest

from actors.problems.jsonl import write_problems
from actors.problems.problem_sources import read_source
from broker.errors import UsageError
from broker.records import Problem
from conf.load import load
from conf.schema import ProblemSettings
from deploy.stages.guidance_search import check_search
from deploy.stages.policy_measurements import measured_problems


def problem(id: str, guidance: str | None = None) -> Problem:
    text = {"statement": "1+1?", "answer": "2", "solution": r"1 \boxed{2}"}
    return Problem(id=id, bucket="hard", source="test", guidance=guidance, **text)


PROBLEMS = [problem(f"p{i}") for i in range(10)]


def test_all_problems_are_measured_unless_there_is_a_limit() -> None:
    assert measured_problems(PROBLEMS, None, 0) == PROBLEMS
    assert measured_problems(PROBLEMS, 10, 0) == PROBLEMS
    few = measured_problems(PROBLEMS, 4, 0)
    assert len(few) == 4
    assert few == sorted(few, key=PROBLEMS.index)


def test_the_same_problems_are_measured_before_and_after_and_others_with_another_seed() -> None:
    assert measured_problems(PROBLEMS, 4, 0) == measured_problems(PROBLEMS, 4, 0)
    assert len({tuple(p.id for p in measured_problems(PROBLEMS, 4, seed)) for seed in range(5)}) > 1


def test_a_run_that_must_not_search_names_the_problems_without_guidance() -> None:
    config = load(None, ["guidance.search=false"])
    with pytest.raises(UsageError, match=r"guidance\.search=false, and 1 hard problems .* such as b: run pope mine"):
        check_search(config, [problem("a", guidance="1"), problem("b")])
    check_search(load(None, []), [problem("b")])
    check_search(load(None, ["experiment=hard", "guidance.search=false"]), [problem("b")])


def test_a_mined_problem_without_a_useful_prefix_needs_no_search(tmp_path: Path) -> None:
    file = tmp_path / "problems.jsonl"
    write_problems(file, [problem("a", guidance="")])
    found = read_source(ProblemSettings(source=str(file)), 0).problems
    assert [p.guidance for p in found] == [""]
    check_search(load(None, ["guidance.search=false"]), found)
