"""The gradients of every objective against autograd through all logits at once."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st
from torch import Tensor, nn

from conf.schema import LearnerSettings
from learner.batch_feed import Row, build_step, filler_row
from learner.expected_gradient import ExpectedOfRow, Objective
from learner.logprobs import chunked_logprobs
from learner.losses.aggregation import WholeStep
from learner.losses.masks import moves_away, second_moment_threshold
from learner.losses.objective import StepObjective
from learner.losses.policy import POLICY_LOSSES, token_log_ratio
from learner.model import as_policy
from learner.sft import CrossEntropy
from learner.token_head import TokenHead
from tests.learner.architectures import tiny_config, tiny_model
from tests.learner.test_logprobs import Head, full_logprobs
from tests.learner.tiny import VOCABULARY, random_groups, tiny_lm

torch.set_num_threads(1)
H = 8
MASKS = ("none", "token", "sequence", "sequence_mean", "second_moment")


@dataclass
class Case:
    """A row, an objective, and a head whose log-probabilities are near those of the behaviour."""

    row: Row
    objective: Objective
    hidden: Tensor
    weight: Tensor
    entropy_gradient: bool = False
    temperature: float = 0.7
    widths: list[int] = field(default_factory=list)
    """Tokens of each projection of `chunked`."""

    def chunked(self, chunk_tokens: int, scale: float = 1.0) -> list[Any]:
        hidden, weight = self.hidden.clone().requires_grad_(), self.weight.clone().requires_grad_()
        head = Head(weight)
        outputs = chunked_logprobs(
            hidden, self.row.targets, head, [weight], temperature=self.temperature, chunk_tokens=chunk_tokens,
            entropy_gradient=self.entropy_gradient, expected=ExpectedOfRow(self.row, self.objective, scale),
        )  # fmt: skip
        (self.objective.total(self.row, *outputs) * scale).backward()
        self.widths = head.widths
        return [hidden.grad, weight.grad]

    def plain(self, scale: float = 1.0) -> list[Any]:
        hidden, weight = self.hidden.clone().requires_grad_(), self.weight.clone().requires_grad_()
        outputs = full_logprobs(hidden, self.row.targets, weight, self.temperature)
        (self.objective.total(self.row, *outputs) * scale).backward()
        return [hidden.grad, weight.grad]


def case_of(row: Row, chosen: LearnerSettings, seed: int = 0) -> Case:
    torch.manual_seed(seed)
    hidden = 0.3 * torch.randn(len(row.targets), H, dtype=torch.float64)
    weight = torch.randn(VOCABULARY, H, dtype=torch.float64)
    logprobs, _ = full_logprobs(hidden, row.targets, weight, 0.7)
    log_ratio = token_log_ratio(logprobs, row.behaviour_logprobs)
    counted = moves_away(log_ratio, row.advantages) & (row.weights > 0) & ~row.off_policy
    square_max = second_moment_threshold(log_ratio[counted].square(), chosen.second_moment_max)
    whole = WholeStep(len(row.targets), int(row.sequences.max()) + 1, 12, version=2, square_max=square_max)
    return Case(row, StepObjective(chosen, whole), hidden, weight, entropy_gradient=chosen.entropy_coef > 0)


def assert_equal(ours: list[Tensor], reference: list[Tensor]) -> None:
    for a, b in zip(ours, reference, strict=True):
        assert (a - b).abs().max() <= 1e-6 * b.abs().max(), "relative to the largest entry"


@budget(max_examples=80, deadline=None)
@given(
    policy_loss=st.sampled_from(sorted(POLICY_LOSSES)),
    ratio_mask=st.sampled_from(MASKS),
    aggregation=st.sampled_from(("token_mean", "sequence_mean", "sequence_sum", "constant")),
    kl_coef=st.sampled_from((0.0, 0.1)),
    entropy_coef=st.sampled_from((0.0, 0.1)),
    dual_clip=st.sampled_from((None, 1.1)),
    chunk_tokens=st.integers(1, 40),
    scale=st.sampled_from((1.0, 3.0)),
    seed=st.integers(0, 50),
)
def test_every_objective_has_the_gradients_of_autograd(
    policy_loss: str, ratio_mask: str, aggregation: str, kl_coef: float, entropy_coef: float, dual_clip: float | None,
    chunk_tokens: int, scale: float, seed: int,
) -> None:  # fmt: skip
    """And each token is projected once, unless its rollout is longer than a chunk and its loss depends on all of it."""
    chosen = LearnerSettings(
        policy_loss=policy_loss, ratio_mask=ratio_mask, loss_aggregation=aggregation, kl_coef=kl_coef,
        entropy_coef=entropy_coef, dual_clip=dual_clip if policy_loss == "ppo_clip" else None, ratio_min=0.9,
        ratio_max=1.1, mask_min=0.8, mask_max=1.3,
    )  # type: ignore[arg-type]  # fmt: skip
    oracles = [] if policy_loss == "gspo" else [1]
    groups = random_groups(3, seed=seed, failed=[(0, 1)], oracles=oracles, reference=True)
    (row,) = build_step(groups, row_tokens=400, rank=0, world_size=1).rows
    case = case_of(row, chosen, seed)
    ours, reference = case.chunked(chunk_tokens, scale), case.plain(scale)
    assert_equal(ours, reference)
    lengths = row.sequences.bincount().tolist()
    coupled = policy_loss in ("gspo", "sequence_is") or ratio_mask in ("sequence", "sequence_mean")
    twice = sum(length for length in lengths if coupled and length > chunk_tokens)
    assert sum(case.widths) == len(row.targets) + twice
    assert max(case.widths) <= chunk_tokens


def test_supervised_fine_tuning_has_the_gradients_of_autograd() -> None:
    (row,) = build_step(random_groups(3), row_tokens=400, rank=0, world_size=1).rows
    case = case_of(row, LearnerSettings())
    case.objective = CrossEntropy(100)
    assert_equal(case.chunked(7), case.plain())
    assert sum(case.widths) == len(row.targets)


def test_a_filler_row_has_no_gradient() -> None:
    case = case_of(filler_row(), LearnerSettings(kl_coef=0.1))
    assert not any(gradient.any() for gradient in case.chunked(7))


@dataclass
class Coupling:
    """A loss in which every token depends on all of the row, and that does not say so."""

    couples_tokens: bool = False

    def total(self, row: Row, logprobs: Tensor, entropies: Tensor) -> Tensor:
        return logprobs.square().sum() * logprobs.mean()


def test_a_loss_that_conceals_its_coupling_is_only_slower() -> None:
    (row,) = build_step(random_groups(3), row_tokens=400, rank=0, world_size=1).rows
    case = case_of(row, LearnerSettings())
    case.objective = Coupling()
    assert_equal(case.chunked(7), case.plain())
    assert sum(case.widths) == 2 * len(row.targets)


def untied_with_a_bias() -> Any:
    lm = tiny_lm(tied=False)
    lm.lm_head.bias = nn.Parameter(torch.randn(VOCABULARY))
    return lm


MODELS = {
    "tied": tiny_lm,
    "bias": untied_with_a_bias,
    **{name: lambda name=name: tiny_model(tiny_config(name)) for name in ("gemma2", "cohere", "granite", "bert")},
}
"""Tied and untied weights, a soft cap, scales of the logits, and parameters between the body and the head."""


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("policy_loss", ["truncated_is", "gspo"])
def test_all_parameters_of_a_model_have_the_gradients_of_its_own_logits(
    monkeypatch: pytest.MonkeyPatch, name: str, policy_loss: Any
) -> None:
    chosen = LearnerSettings(
        policy_loss=policy_loss, ratio_min=0.9, ratio_max=1.1, kl_coef=0.1, entropy_coef=0.05, row_tokens=400
    )
    (row,) = build_step(random_groups(3, reference=True), row_tokens=400, rank=0, world_size=1).rows
    objective = StepObjective(chosen, WholeStep(len(row.targets), int(row.sequences.max()) + 1, 12))
    results = []
    for chunked in (True, False):
        policy = as_policy(MODELS[name](), temperature=0.7, chunk_tokens=14, entropy_gradient=True)
        if not chunked:
            monkeypatch.setattr(TokenHead, "forward", all_logits)
        expected = ExpectedOfRow(row, objective) if chunked else None
        outputs = policy(row.input_ids, row.position_ids, row.layout, row.positions, row.targets, expected)
        objective.total(row, *outputs).backward()
        results.append({name: p.grad for name, p in policy.named_parameters() if p.grad is not None})
    ours, reference = results
    assert ours.keys() == reference.keys()
    largest = max(float(gradient.abs().max()) for gradient in reference.values())
    for parameter, gradient in reference.items():
        assert (ours[parameter] - gradient).abs().max() <= 2e-6 * largest, parameter


def all_logits(head: TokenHead, hidden: Tensor, targets: Tensor, expected: None) -> tuple[Tensor, Tensor]:
    log_p = torch.log_softmax(head._logits(hidden) / 0.7, dim=-1)
    return log_p[torch.arange(len(targets)), targets], -(log_p.exp() * log_p).sum(-1)
