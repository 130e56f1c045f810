"""The model check: it passes what agrees, and finds faults that no name gives away, in models of flat logits too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertLMHeadModel

from conf.schema import LearnerSettings
from learner.model_check import BFLOAT16_BOUND, ModelAgreement, ModelMismatch, check_lm, check_model
from learner.unsupported_model import CannotPack, UnsupportedModel
from tests.learner.tiny import save_tiny, tiny_lm

torch.set_num_threads(1)


class Changed(nn.Module):
    """A part of a model with something added to what it returns."""

    def __init__(self, part: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.part, self.change = part, change

    def forward(self, x: Tensor) -> Tensor:
        return self.part(x) + self.change(x)


def mean_so_far(x: Tensor) -> Tensor:
    """Connects a token with all before it in the row, like a recurrent layer."""
    return x.cumsum(1) / torch.ones_like(x).cumsum(1)


def beyond_400(x: Tensor) -> Tensor:
    """Depends on the place in the row, and only in a long one."""
    return (torch.ones_like(x).cumsum(1) > 400) * 0.1


def with_mlp(change: Callable[[Tensor], Tensor], **options: Any) -> Any:
    lm = tiny_lm(**options)
    lm.set_attn_implementation("eager")
    lm.model.layers[0].mlp = Changed(lm.model.layers[0].mlp, change)
    return lm


def check(lm: Any, dtype: torch.dtype = torch.float32, **settings: Any) -> ModelAgreement:
    return check_lm(lm, dtype=dtype, settings=LearnerSettings(**settings), temperature=0.7)


@pytest.mark.parametrize("packing", ["on", "off"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_is_computed_right_passes(tmp_path: Path, packing: Any, dtype: torch.dtype) -> None:
    agreement = check_model(
        save_tiny(tmp_path / "m"), dtype=dtype, settings=LearnerSettings(packing=packing), temperature=0.7, device="cpu"
    )
    assert agreement.architecture == "Qwen3ForCausalLM"
    assert agreement.rms_difference <= agreement.max_difference < 5e-6 < agreement.bound
    assert agreement.num_tokens >= 39


@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_tokens_that_see_other_samples_are_found_at_any_size_of_the_logits(scale: float) -> None:
    """A model of flat logits changes little, and so does a fault in it: the bound follows."""
    lm = with_mlp(mean_so_far)
    with torch.no_grad():
        lm.model.norm.weight.mul_(scale)
    with pytest.raises(ModelMismatch, match=r"root mean square .* nats over .* bound .*learner.packing=off") as caught:
        check(lm)
    assert caught.value.final
    assert "\n" not in str(caught.value)


def test_the_same_model_agrees_with_one_sequence_in_a_row() -> None:
    assert check(with_mlp(mean_so_far), packing="off").rms_difference < 1e-5


def test_a_fault_that_shows_only_far_into_a_row_is_found() -> None:
    assert check(with_mlp(beyond_400), row_tokens=300).rms_difference < 1e-5
    with pytest.raises(ModelMismatch):
        check(with_mlp(beyond_400, max_position_embeddings=512), row_tokens=1000)


@pytest.mark.parametrize("packing", ["on", "off"])
def test_logits_that_are_changed_behind_the_body_and_the_head_are_found(packing: Any) -> None:
    def halve(lm: Any, inputs: Any, output: Any) -> None:
        output.logits = output.logits / 2

    lm = tiny_lm()
    lm.register_forward_hook(halve)
    with pytest.raises(ModelMismatch, match="the logits are changed"):
        check(lm, packing=packing)


def test_a_model_that_reads_later_tokens_is_refused() -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
    torch.manual_seed(0)
    lm = BertLMHeadModel(BertConfig(vocab_size=96, **sizes)).eval()
    with pytest.raises(UnsupportedModel, match="no causal language model"):
        check(lm, packing="off")


def test_what_the_code_of_a_model_raises_about_a_row_becomes_a_refusal() -> None:
    def breaks(x: Tensor) -> Tensor:
        if x.shape[1] > 30:
            raise KeyError("row")
        return x

    with pytest.raises(CannotPack, match=r"fails with KeyError: 'row'; learner.packing=off"):
        check(with_mlp(breaks), row_tokens=100)


def test_not_a_number_is_a_mismatch() -> None:
    def overflows(x: Tensor) -> Tensor:
        return x * (float("nan") if x.shape[1] > 30 else 1.0)

    with pytest.raises(ModelMismatch, match="nan nats"):
        check(with_mlp(overflows), row_tokens=100)
    with pytest.raises(UnsupportedModel, match="its own log-probabilities are not finite"):
        check(with_mlp(lambda x: x / 0), packing="off")


def test_rounding_to_bfloat16_is_far_below_its_bound() -> None:
    """Measured here: below a tenth of the bound for sharp distributions."""
    lm, precise = tiny_lm(dtype=torch.bfloat16), tiny_lm()
    ids = torch.arange(2, 60)[None]
    with torch.no_grad():
        difference = lm(ids).logits.float().log_softmax(-1) - precise(ids).logits.log_softmax(-1)
    assert float(difference.square().mean().sqrt()) < BFLOAT16_BOUND / 10


def test_parameters_between_body_and_head_are_refused_under_zero_3() -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
    lm = BertLMHeadModel(BertConfig(vocab_size=96, is_decoder=True, **sizes)).eval()
    assert check(lm, packing="off").rms_difference < 1e-5
    lm = BertLMHeadModel(BertConfig(vocab_size=96, is_decoder=True, **sizes)).eval()
    with pytest.raises(UnsupportedModel, match=r"ZeRO 3 .*learner.zero_stage=2"):
        check(lm, packing="off", zero_stage=3)
