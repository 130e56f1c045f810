"""A policy loss of the user: the same as the built-in one it repeats, and a named error where it cannot be trained."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from broker.errors import PluginFailed
from conf.schema import LearnerSettings
from learner.batch_feed import Row, build_step, filler_row
from learner.losses.aggregation import WholeStep
from learner.losses.objective import RowLoss, StepObjective
from tests.learner.tiny import random_groups
from tests.user_module import user_module

LOSSES = """
import torch

def truncated(tokens):
    return -tokens.log_ratio.detach().exp().clamp(max=tokens.ratio_max) * tokens.advantages * tokens.logprobs

def sequences(tokens):
    sums = torch.zeros(int(tokens.sequences.max()) + 1, dtype=tokens.logprobs.dtype)
    weights = sums.index_add(0, tokens.sequences, tokens.log_ratio.detach()).clamp(-20, 20).exp()[tokens.sequences]
    return -weights.clamp(max=tokens.ratio_max) * tokens.advantages * tokens.logprobs

def raises(tokens):
    raise KeyError("temperature")

def scalar(tokens):
    return tokens.logprobs.sum()

def array(tokens):
    return tokens.logprobs.detach().numpy()

def detached(tokens):
    return -tokens.log_ratio.detach() * tokens.advantages

def infinite(tokens):
    return tokens.logprobs / 0
"""


@pytest.fixture(autouse=True)
def losses(tmp_path: Path) -> Iterator[None]:
    with user_module(tmp_path, "plugin_losses", LOSSES):
        yield


def row() -> Row:
    (found,) = build_step(random_groups(5, seed=4), row_tokens=4096, rank=0, world_size=1).rows
    return found


def loss_of(row: Row, name: str, **settings: object) -> tuple[RowLoss, torch.Tensor]:
    """(loss of a row, its gradient by the log-probabilities)"""
    objective = StepObjective(
        LearnerSettings(policy_loss=name, ratio_max=1.1, **settings), WholeStep(50, 10, 40, version=2)
    )
    logprobs = (-4.5 + 0.4 * torch.sin(row.targets.double() * 1.7)).requires_grad_()
    loss = objective.of_row(row, logprobs, torch.ones_like(logprobs))
    (gradient,) = torch.autograd.grad(loss.total, logprobs)
    return loss, gradient


@pytest.mark.parametrize(("mine", "ours"), [("truncated", "truncated_is"), ("sequences", "sequence_is")])
@pytest.mark.parametrize("settings", [{}, {"ratio_mask": "sequence", "mask_max": 2.0}])
def test_a_users_loss_that_repeats_a_built_in_one_gives_the_same_loss_gradient_and_statistics(
    mine: str, ours: str, settings: dict[str, object]
) -> None:
    (expected, expected_gradient), (found, gradient) = (
        loss_of(row(), name, **settings) for name in (ours, f"plugin_losses:{mine}")
    )
    assert found.total.item() == pytest.approx(expected.total.item(), rel=1e-12)
    assert torch.allclose(gradient, expected_gradient, rtol=1e-12)
    trained = row().advantages != 0
    assert trained.any()
    assert torch.allclose(found.gradient_weights[trained], expected.gradient_weights[trained], rtol=1e-6)


def test_a_rank_without_a_row_calls_it_on_a_filler() -> None:
    loss, gradient = loss_of(filler_row(), "plugin_losses:truncated")
    assert (loss.total.item(), gradient.tolist()) == (0.0, [0.0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", r"learner.policy_loss=plugin_losses:raises failed: KeyError: 'temperature'"),
        ("scalar", r"plugin_losses:scalar returned torch.float64 \[\] for \d+ tokens; return one loss a token"),
        ("array", r"plugin_losses:array returned ndarray for \d+ tokens"),
        ("detached", r"plugin_losses:detached returned losses without a gradient"),
        ("infinite", r"plugin_losses:infinite returned losses that are not finite; its input is finite"),
    ],
)
def test_a_loss_that_cannot_be_trained_ends_the_run_by_name(name: str, message: str) -> None:
    with pytest.raises(PluginFailed, match=message) as caught:
        loss_of(row(), f"plugin_losses:{name}")
    assert caught.value.final, "a restart would fail in the same way"
