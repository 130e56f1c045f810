"""Real DeepSpeed on gloo: one process and two, ZeRO 0, 2 and 3."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.learner.ranks import Processes

STAGES = (0, 2, 3)
CASES = [
    *({"name": f"zero{stage}", "stage": stage, "row_tokens": 64, "tied": True} for stage in STAGES),
    {"name": "short-rows", "stage": 0, "row_tokens": 24, "tied": True},
    {"name": "one-row", "stage": 0, "row_tokens": 4096, "tied": True},
    {"name": "untied", "stage": 3, "row_tokens": 40, "tied": False},
]

Results = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Number of ranks -> results of all cases."""
    out = {}
    for world_size in (1, 2):
        out[world_size] = tmp_path_factory.mktemp(f"ranks{world_size}")
        options = {"out": str(out[world_size]), "cases": CASES}
        Processes("engine", options, out[world_size], world_size=world_size).succeed()
    return out


def reports(folder: Path) -> Results:
    return json.loads((folder / "reports.json").read_text())


def assert_same_training(a: tuple[Path, str], b: tuple[Path, str]) -> None:
    """Same losses, norms and statistics; weights equal up to the order of float sums."""
    for x, y in zip(reports(a[0])[a[1]], reports(b[0])[b[1]], strict=True):
        for key in ("loss", "norm", "ess", "entropy/mean", "ratio/max", "logprob/rms"):
            assert x[key] == pytest.approx(y[key], rel=1e-4, abs=1e-6), key
        for key in ("tokens", "applied", "lag/mean", "lag/histogram", "reward/guided/mean"):
            assert x[key] == y[key], key
    first, second = (torch.load(folder / f"{name}.pt", weights_only=True) for folder, name in (a, b))
    assert first.keys() == second.keys()
    for name, weight in first.items():
        torch.testing.assert_close(weight, second[name], atol=3e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("stage", STAGES)
def test_two_ranks_train_like_one(folders: dict[int, Path], stage: int) -> None:
    assert_same_training((folders[1], f"zero{stage}"), (folders[2], f"zero{stage}"))


def test_untied_weights_train_the_same_on_two_ranks(folders: dict[int, Path]) -> None:
    assert_same_training((folders[1], "untied"), (folders[2], "untied"))


@pytest.mark.parametrize("stage", [2, 3])
def test_the_zero_stage_changes_where_weights_live_not_what_they_become(folders: dict[int, Path], stage: int) -> None:
    assert_same_training((folders[1], "zero0"), (folders[1], f"zero{stage}"))


@pytest.mark.parametrize("name", ["short-rows", "one-row"])
@pytest.mark.parametrize("world_size", [1, 2])
def test_the_split_into_rows_changes_nothing(folders: dict[int, Path], name: str, world_size: int) -> None:
    assert_same_training((folders[1], "zero0"), (folders[world_size], name))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_gradient_that_is_not_finite_changes_no_weight(
    folders: dict[int, Path], stage: int, world_size: int
) -> None:
    # `rank_main` compares the weights before and after the third step of every case.
    seen = reports(folders[world_size])[f"zero{stage}"]
    assert [(report["applied"], report["norm"] == float("inf")) for report in seen] == [
        (True, False),
        (True, False),
        (False, True),
        (True, False),
    ]


def test_a_checkpoint_that_holds_code_is_refused_and_not_run(tmp_path: Path) -> None:
    ranks = Processes("hostile", {"out": str(tmp_path), "stages": STAGES}, tmp_path)
    ranks.succeed()
    assert not (tmp_path / "marker").exists()
    assert ranks.output().count("refused") == 1 + 2 + 2, "the model of ZeRO 0; model and optimizer of ZeRO 2 and 3"
