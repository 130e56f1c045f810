"""`problems.limit`: how many problems of each bucket are trained on, and which."""

import json
from pathlib import Path

from actors.problems.catalog import load_problems
from broker.records import Problem
from conf.schema import ProblemSettings

ARMS = {"unguided": 1, "easy": 1}


def source(folder: Path) -> str:
    rows = [
        {"id": f"{bucket}-{i}", "statement": f"{bucket} {i}?", "answer": f"{i}", "bucket": bucket}
        for i in range(20)
        for bucket in ("hard", "easy", "easier")
    ]
    file = folder / "set.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def limited(folder: Path, seed: int = 0, **limit: int) -> list[Problem]:
    return load_problems(ProblemSettings(source=source(folder), arms=ARMS, limit=limit), seed)


def ids(problems: list[Problem], bucket: str) -> list[str]:
    return [problem.id for problem in problems if problem.bucket == bucket]


def test_each_bucket_has_its_own_limit_and_no_limit_means_all(tmp_path: Path) -> None:
    found = limited(tmp_path, hard=4, easier=1)
    assert (len(ids(found, "hard")), len(ids(found, "easy")), len(ids(found, "easier"))) == (4, 20, 0)
    assert len(limited(tmp_path)) == 40
    assert len(limited(tmp_path, hard=1000, easy=1000)) == 40


def test_the_seed_chooses_the_problems_and_their_order_is_unchanged(tmp_path: Path) -> None:
    drawn = {seed: ids(limited(tmp_path, seed, hard=5), "hard") for seed in range(20)}
    assert drawn[3] == ids(limited(tmp_path, 3, hard=5, easy=2), "hard"), "the limit of another bucket has no effect"
    assert len({tuple(chosen) for chosen in drawn.values()}) > 15
    for chosen in drawn.values():
        assert chosen == sorted(chosen, key=lambda id: int(id.partition("-")[2]))
    assert len({id for chosen in drawn.values() for id in chosen}) == 20, "every problem can be drawn"


def test_a_larger_limit_adds_to_the_problems_of_a_smaller_one(tmp_path: Path) -> None:
    assert set(ids(limited(tmp_path, 1, easy=5), "easy")) < set(ids(limited(tmp_path, 1, easy=15), "easy"))


def test_the_limit_does_not_apply_to_the_built_in_domain() -> None:
    assert len(load_problems(ProblemSettings(num_hard=8, limit={"hard": 3}), 0)) == 8
