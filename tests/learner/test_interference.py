"""Shares and reward changes against numbers by hand, a loop over tokens and numpy's fit."""

import math

import msgspec
import numpy as np
import pytest
import torch

from broker.records import TrainGroup, float32_bytes
from learner.batch_feed import build_step
from learner.gradient_cosine import Cosines, cosines, inner_products
from learner.interference import TREND_STEPS, RewardTrend, advantage_shares, parts, reward_means, slope, token_shares
from learner.ranks import Ranks
from tests.groups import completion, rollout_group
from tests.learner.rank_main import PARTS
from tests.learner.tiny import random_groups


def group(bucket: str, arm: str, rollouts: list[tuple[float | None, float, int]]) -> TrainGroup:
    """Rollouts of (reward, advantage, tokens)."""
    records = tuple(completion(reward, num_tokens=tokens) for reward, _, tokens in rollouts)
    sampled = msgspec.structs.replace(rollout_group(arm=arm), bucket=bucket, rollouts=records)
    return TrainGroup(rollout_group=sampled, advantages=float32_bytes([advantage for _, advantage, _ in rollouts]))


def test_shares_by_hand() -> None:
    """Hard: 0.5 x 10 + 0.5 x 30 = 20 of 25; 40 of 60 tokens, without the rollout that has no reward."""
    groups = [
        group("hard", "guided", [(1.0, 0.5, 10), (0.0, -0.5, 30), (None, 0.0, 99)]),
        group("easy", "easy", [(1.0, 0.25, 8), (1.0, 0.25, 12)]),
    ]
    assert advantage_shares(groups) == pytest.approx({"hard/guided": 20 / 25, "easy/easy": 5 / 25})
    assert token_shares(groups) == pytest.approx({"hard/guided": 40 / 60, "easy/easy": 20 / 60})


def test_shares_are_those_of_the_tokens_a_step_trains() -> None:
    groups = random_groups(7, seed=3, failed=[(1, 0), (4, 2)], drawn_as=PARTS)
    by_advantage, by_tokens = advantage_shares(groups), token_shares(groups)
    for name, groups_of_part in parts(groups).items():
        rows = build_step(groups_of_part, row_tokens=64, rank=0, world_size=1).rows
        everything = build_step(groups, row_tokens=64, rank=0, world_size=1).rows
        size, whole = (sum(float(r.advantages.abs().sum()) for r in some) for some in (rows, everything))
        tokens, all_tokens = (sum(len(r.targets) for r in some) for some in (rows, everything))
        assert by_advantage[name] == pytest.approx(size / whole, rel=1e-5)
        assert by_tokens[name] == pytest.approx(tokens / all_tokens)
    for found in (by_advantage, by_tokens):
        assert sum(found.values()) == pytest.approx(1.0)


def test_a_step_without_advantage_has_no_shares_of_it() -> None:
    groups = [group("hard", "guided", [(1.0, 0.0, 5), (1.0, 0.0, 5)])]
    assert (advantage_shares(groups), token_shares(groups)) == ({}, {"hard/guided": 1.0})
    assert (advantage_shares([]), token_shares([])) == ({}, {})


def test_reward_means_leave_out_what_was_not_judged() -> None:
    found = reward_means([
        group("hard", "guided", [(1.0, 0.5, 1), (0.0, -0.5, 1), (None, 0.0, 1)]),
        group("hard", "guided", [(1.0, 0.5, 1), (1.0, 0.5, 1)]),
        group("easy", "easy", [(None, 0.0, 1)]),
    ])  # fmt: skip
    assert found == {"hard/guided": 0.75}


def test_a_reward_change_is_the_slope_over_the_newest_steps() -> None:
    trend, rng = RewardTrend(), np.random.default_rng(0)
    seen: list[tuple[int, float]] = []
    for step in range(1, 60, 2):
        seen.append((step, float(rng.random())))
        changes = trend.update(step, {"hard/guided": seen[-1][1]})
        if len(seen) == 1:
            assert changes == {}
        else:
            steps, rewards = zip(*seen[-TREND_STEPS:], strict=True)
            fit = np.polyfit(steps, rewards, 1)
            assert changes == {"hard/guided": pytest.approx(fit[0], abs=1e-9)}
    assert trend.update(61, {"easy/easy": 0.5}) == {}
    assert slope([(1, 0.2), (2, 0.3), (4, 0.5)]) == pytest.approx(0.1)


def test_cosines_by_hand() -> None:
    """Hard: (1, 0) and (1, 1), together (2, 1); easy: (0, -2)."""
    vectors = {"easy/easy": [0.0, -2.0], "hard/guided": [1.0, 0.0], "hard/unguided": [1.0, 1.0]}
    gradients = [[torch.tensor([[x]]), torch.tensor([y])] for x, y in vectors.values()]
    products = inner_products(gradients, Ranks(0, 1, torch.device("cpu")))
    found = cosines(list(vectors), products)
    assert found.norms == pytest.approx({"easy/easy": 2.0, "hard/guided": 1.0, "hard/unguided": math.sqrt(2)})
    assert found.cosines == pytest.approx({
        "easy/easy/hard/guided": 0.0,
        "easy/easy/hard/unguided": -1 / math.sqrt(2),
        "hard/guided/hard/unguided": 1 / math.sqrt(2),
        "easy/hard": -1 / math.sqrt(5),
    })  # fmt: skip


def test_a_part_without_a_gradient_has_no_cosine() -> None:
    assert cosines(["hard/guided", "hard/unguided"], np.asarray([[4.0, 0.0], [0.0, 0.0]])) == Cosines(
        {"hard/guided": 2.0, "hard/unguided": 0.0}, {}
    )
