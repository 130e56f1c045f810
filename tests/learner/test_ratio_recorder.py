"""Which rollouts the learner records ratios of, and what it writes."""

from collections.abc import Sequence

import numpy as np
import pytest

from broker.connection import Retrying
from broker.records import float32_array, int32_array
from learner.batch_feed import build_step
from learner.ratio_recorder import RatioRecorder
from tests.learner.tiny import random_groups

Key = tuple[int, int]


class FakeSamples:
    def __init__(self, shown: set[Key]) -> None:
        self._shown = shown
        self.written: dict[Key, tuple[int, Sequence[float]]] = {}

    def shown(self) -> set[Key]:
        return self._shown

    def add_ratios(self, group_id: int, index: int, step: int, ratios: Sequence[float]) -> None:
        self.written[group_id, index] = (step, ratios)


def test_shown_rollouts_get_the_ratio_of_each_of_their_tokens() -> None:
    """Through real packing: two groups in rows of their own order, against a loop over the rollouts."""
    groups = random_groups(3, seed=5)
    batch = build_step(groups, row_tokens=64, rank=0, world_size=1)
    shown = {(groups[0].rollout_group.group_id, 1), (groups[2].rollout_group.group_id, 0), (99, 0)}
    samples = FakeSamples(shown)
    recorder = RatioRecorder(samples, Retrying(1.0))  # type: ignore[arg-type]
    recorder.start_step()
    for row in batch.rows:
        recorder.on_row(row, row.targets.float() * -0.01)  # a policy that depends on the token's id alone
    recorder.write(7)
    expected = {
        (group.rollout_group.group_id, i): np.exp(-0.01 * int32_array(r.token_ids) - float32_array(r.logprobs))
        for group in groups
        for i, r in enumerate(group.rollout_group.rollouts)
        if (group.rollout_group.group_id, i) in shown
    }
    assert samples.written.keys() == expected.keys()
    for key, ratios in expected.items():
        step, found = samples.written[key]
        assert step == 7
        assert found == pytest.approx(ratios.tolist(), rel=1e-5)


def test_a_new_step_starts_without_the_ratios_of_the_last() -> None:
    groups = random_groups(1, seed=5)
    (row,) = build_step(groups, row_tokens=200, rank=0, world_size=1).rows
    samples = FakeSamples({(groups[0].rollout_group.group_id, 0)})
    recorder = RatioRecorder(samples, Retrying(1.0))  # type: ignore[arg-type]
    recorder.start_step()
    recorder.on_row(row, row.behaviour_logprobs)
    recorder.start_step()
    recorder.write(2)
    assert samples.written == {}
