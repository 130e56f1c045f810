import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from broker.records import float32_array, int32_array
from learner.batch_feed import build_step, filler_row
from learner.ranks import Ranks
from learner.token_statistics import TokenSums, lag_histogram, watched_ratios
from tests.learner.tiny import random_groups

ALONE = Ranks(0, 1, torch.device("cpu"))


def row_of(ratios: list[float], weights: list[float]) -> tuple[torch.Tensor, object]:
    old = torch.full((len(ratios),), -2.0)
    row = replace(filler_row(), behaviour_logprobs=old, weights=torch.tensor(weights))
    return old + torch.tensor(ratios).log(), row


def test_the_statistics_by_hand() -> None:
    sums = TokenSums(0.5, 5.0)
    for ratios, weights in (([1.0, 2.0], [1.0, 1.0]), ([0.25, 8.0, 1e6], [1.0, 1.0, 0.0])):
        new, row = row_of(ratios, weights)
        sums.add(row, new, torch.full_like(new, 0.5), torch.tensor(0.1))  # type: ignore[arg-type]
    got = sums.reduce(ALONE)
    w = np.asarray([1, 2, 0.25, 8])
    assert got.num_tokens == 4
    assert got.ess == pytest.approx(w.sum() ** 2 / (4 * (w**2).sum()), rel=1e-5)
    assert got.clip_share == 0.5  # 0.25 and 8
    assert got.ratio_max == pytest.approx(8, rel=1e-5)
    assert got.ratio_mean == pytest.approx(w.mean(), rel=1e-5)
    assert got.entropy_mean == pytest.approx(0.5)
    assert got.logprob_rms == pytest.approx(math.sqrt((np.log(w) ** 2).mean()), rel=1e-5)
    assert got.loss == pytest.approx(0.2)


def test_equal_ratios_have_a_full_sample_size() -> None:
    sums = TokenSums(0.0, 5.0)
    new, row = row_of([3.0] * 7, [1.0] * 7)
    sums.add(row, new, torch.zeros(7), torch.tensor(0.0))  # type: ignore[arg-type]
    assert sums.reduce(ALONE).ess == pytest.approx(1.0)


def test_a_step_without_tokens_has_finite_statistics() -> None:
    sums = TokenSums(0.0, 5.0)
    sums.add(filler_row(), torch.zeros(1), torch.zeros(1), torch.tensor(0.0))
    got = sums.reduce(ALONE)
    assert (got.num_tokens, got.ess, got.clip_share, got.logprob_rms) == (0, 0.0, 0.0, 0.0)


def test_the_histogram_of_ages() -> None:
    assert lag_histogram(np.asarray([2, 0, 0, 5])) == {0: 2, 2: 1, 5: 1}
    assert lag_histogram(np.zeros(0, dtype=np.int32)) == {}


def test_watched_rollouts_get_the_ratio_of_each_of_their_tokens() -> None:
    """Through real packing: two groups in rows of their own order, against a loop over the completions."""
    groups = random_groups(3, seed=5)
    batch = build_step(groups, row_tokens=64, rank=0, world_size=1)
    watched = {(groups[0].group.ordinal, 1), (groups[2].group.ordinal, 0), (99, 0)}
    found: dict[tuple[int, int], list[float]] = {}
    for row in batch.rows:
        found |= watched_ratios(row, row.targets.float() * -0.01, watched)  # a policy that knows only the token's id
    expected = {
        (group.group.ordinal, i): np.exp(-0.01 * int32_array(c.token_ids) - float32_array(c.logprobs))
        for group in groups
        for i, c in enumerate(group.group.completions)
        if (group.group.ordinal, i) in watched
    }
    assert found.keys() == expected.keys()
    for key, ratios in expected.items():
        assert found[key] == pytest.approx(ratios.tolist(), rel=1e-5)
