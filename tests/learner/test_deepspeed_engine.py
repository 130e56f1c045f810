"""Real DeepSpeed on gloo: one process and two, ZeRO 0, 2 and 3."""

import json
import math
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch

from broker.records import TrainGroup, float32_array, int32_array
from learner.gradient_cosine import Cosines
from tests.learner.rank_main import engine_groups
from tests.learner.ranks import Processes
from tests.learner.tiny import tiny_lm

STAGES = (0, 2, 3)
COSINE_STAGES = (0, 2)
TIMES = ("seconds", "tokens_per_s")
GRADIENTS = ("gradient_norm", "gradient_cosine")
CASES = [
    *({"name": f"zero{stage}", "stage": stage, "row_tokens": 64, "tied": True} for stage in STAGES),
    {"name": "short-rows", "stage": 0, "row_tokens": 24, "tied": True},
    {"name": "one-row", "stage": 0, "row_tokens": 4096, "tied": True},
    {"name": "unpacked", "stage": 3, "row_tokens": 64, "tied": True, "learner": {"packing": "off"}},
    {"name": "untied", "stage": 3, "row_tokens": 40, "tied": False},
    *({"name": f"{name}-{tokens}", "stage": 2, "row_tokens": tokens, "tied": True, "learner": learner, **more}
      for tokens in (24, 4096) for name, learner, more in (
          ("gspo", {"policy_loss": "gspo", "ratio_min": 0.9, "ratio_max": 1.1, "loss_aggregation": "sequence_mean",
                    "kl_coef": 0.1, "entropy_coef": 0.01}, {}),
          ("luffy", {"policy_loss": "ppo_clip", "loss_aggregation": "constant"}, {"oracles": [0, 3]}),
          ("m2po", {"ratio_mask": "second_moment", "second_moment_max": 0.02, "lag_discount": 0.1}, {"oracles": [3]}),
      )),
    *(
        {"name": f"cosines{stage}", "stage": stage, "row_tokens": 64, "tied": True, "cosine_every": 1}
        for stage in COSINE_STAGES
    ),
    *(
        {"name": f"between{stage}", "stage": stage, "row_tokens": 64, "tied": True, "zero_advantage_between": True}
        for stage in STAGES
    ),
    *(
        {"name": f"{way}{stage}", "stage": stage, "row_tokens": 64, "tied": True, way: True}
        for stage in STAGES for way in ("absurd_between", "restored")
    ),
]  # fmt: skip

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
        for key in ("loss", "grad_norm", "ess", "entropy", "ratio_max", "logprob_rms"):
            assert x[key] == pytest.approx(y[key], rel=1e-4, abs=1e-6), key
        for key in ("tokens", "applied", "lag_mean", "lag_histogram", "reward_mean"):
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


@pytest.mark.parametrize("name", ["short-rows", "one-row", "unpacked"])
@pytest.mark.parametrize("world_size", [1, 2])
def test_the_split_into_rows_changes_nothing(folders: dict[int, Path], name: str, world_size: int) -> None:
    assert_same_training((folders[1], "zero0"), (folders[world_size], name))


@pytest.mark.parametrize("name", ["gspo", "luffy", "m2po"])
@pytest.mark.parametrize("world_size", [1, 2])
def test_the_split_into_rows_and_ranks_changes_nothing_of_any_objective(
    folders: dict[int, Path], name: str, world_size: int
) -> None:
    assert_same_training((folders[1], f"{name}-4096"), (folders[world_size], f"{name}-24"))
    ours, plain = (reports(folders[1])[case] for case in (f"{name}-4096", "zero2"))
    assert ours[0]["grad_norm"] != pytest.approx(plain[0]["grad_norm"], rel=1e-3), "the settings reached the loss"
    assert (ours[0]["kl"] is not None) == (name == "gspo")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_gradient_that_is_not_finite_changes_no_weight(
    folders: dict[int, Path], stage: int, world_size: int
) -> None:
    # `rank_main` compares the weights before and after the third step of every case.
    seen = reports(folders[world_size])[f"zero{stage}"]
    assert [(report["applied"], report["grad_norm"] == float("inf")) for report in seen] == [
        (True, False),
        (True, False),
        (False, True),
        (True, False),
    ]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_step_without_an_advantage_changes_no_training_state(
    folders: dict[int, Path], stage: int, world_size: int
) -> None:
    """Zero-advantage steps between the others change no bit of them: not the weights, moments or step count."""
    plain, between = f"zero{stage}", f"between{stage}"
    weights = [torch.load(folders[world_size] / f"{name}.pt", weights_only=True) for name in (plain, between)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    seen = reports(folders[world_size])
    for without, with_ in zip(seen[plain], seen[between], strict=True):
        assert all(with_[key] == value for key, value in without.items() if key not in TIMES)


def test_a_checkpoint_that_holds_code_is_refused_and_not_run(tmp_path: Path) -> None:
    ranks = Processes("hostile", {"out": str(tmp_path), "stages": STAGES}, tmp_path)
    ranks.succeed()
    assert not (tmp_path / "marker").exists()
    assert ranks.output().count("refused") == 1 + 2 + 2, "the model of ZeRO 0; model and optimizer of ZeRO 2 and 3"


@pytest.mark.parametrize("way", ["absurd_between", "restored"])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("world_size", [1, 2])
def test_a_dropped_gradient_and_a_checkpoint_restored_in_place_leave_no_trace(
    folders: dict[int, Path], stage: int, world_size: int, way: str
) -> None:
    """Not in weights, moments or step count: the other steps have the same bits as without."""
    plain, other = f"zero{stage}", f"{way}{stage}"
    weights = [torch.load(folders[world_size] / f"{name}.pt", weights_only=True) for name in (plain, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    seen = reports(folders[world_size])
    for without, with_ in zip(seen[plain], seen[other], strict=True):
        assert all(with_[key] == value for key, value in without.items() if key not in TIMES)


@pytest.mark.parametrize("stage", COSINE_STAGES)
@pytest.mark.parametrize("world_size", [1, 2])
def test_measuring_cosines_changes_no_bit_of_the_training(
    folders: dict[int, Path], stage: int, world_size: int
) -> None:
    plain, looked = f"zero{stage}", f"cosines{stage}"
    weights = [torch.load(folders[world_size] / f"{name}.pt", weights_only=True) for name in (plain, looked)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    seen = reports(folders[world_size])
    for without, with_ in zip(seen[plain], seen[looked], strict=True):
        assert not any(without.pop(key) for key in GRADIENTS)
        assert all(with_[key] == value for key, value in without.items() if key not in TIMES)


@pytest.mark.parametrize("world_size", [1, 2])
@pytest.mark.parametrize("stage", COSINE_STAGES)
def test_cosines_are_those_of_separate_sequences(folders: dict[int, Path], stage: int, world_size: int) -> None:
    """The first step's, at the starting weights: every rollout in a row of its own, in plain torch."""
    expected = slow_cosines(engine_groups(1))
    report = reports(folders[world_size])[f"cosines{stage}"][0]
    norms, cosines = (report[name] for name in GRADIENTS)
    assert (len(norms), len(cosines)) == (3, 3 + 1)
    assert norms == pytest.approx(expected.norms, rel=1e-4, abs=1e-5)
    assert cosines == pytest.approx(expected.cosines, rel=1e-4, abs=1e-5)
    square = sum(norm**2 for norm in norms.values()) + 2 * sum(
        cosines[f"{a}/{b}"] * norms[a] * norms[b] for a, b in combinations(norms, 2)
    )
    assert math.sqrt(square) == pytest.approx(report["grad_norm"], rel=1e-4), "the parts' gradients sum to the step's"


@pytest.mark.parametrize("stage", COSINE_STAGES)
def test_a_gradient_that_is_not_finite_has_no_cosine(folders: dict[int, Path], stage: int) -> None:
    poisoned = reports(folders[1])[f"cosines{stage}"][2]
    assert not any(poisoned[key] for key in GRADIENTS)


def slow_cosines(groups: list[TrainGroup]) -> Cosines:
    """Those of a step under the settings of `rank_main`, from a loop over rollouts and parts."""
    lm = tiny_lm(tied=True)
    num_tokens = sum(r.num_tokens for g in groups for r in g.rollout_group.rollouts if r.reward is not None)
    gradients: dict[str, torch.Tensor] = {}
    for group in groups:
        prompt = int32_array(group.rollout_group.prompt_ids).tolist()
        for rollout, advantage in zip(
            group.rollout_group.rollouts, float32_array(group.advantages).tolist(), strict=True
        ):
            if rollout.reward is None:
                continue
            tokens = int32_array(rollout.token_ids).tolist()
            logits = lm(torch.tensor([prompt + tokens])).logits[0, len(prompt) - 1 : -1].float() / 0.9
            new = torch.log_softmax(logits, -1)[range(len(tokens)), tokens]
            ratio = (new.detach() - torch.tensor(float32_array(rollout.logprobs))).exp().clamp(0.0, 5.0)
            loss = -(ratio * advantage * new).sum() / num_tokens
            flat = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(lm.parameters()))]).double()
            for name in (group.rollout_group.bucket, f"{group.rollout_group.bucket}/{group.rollout_group.arm}"):
                gradients[name] = gradients.get(name, 0) + flat
    names = sorted(gradients)
    found = {}
    for a, b in combinations(names, 2):
        if ("/" in a) == ("/" in b):
            cosine = torch.nn.functional.cosine_similarity(gradients[a], gradients[b], dim=0)
            found[f"{a}/{b}"] = float(cosine)
    return Cosines({name: float(gradients[name].norm()) for name in names if "/" in name}, found)
