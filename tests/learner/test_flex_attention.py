"""One call for a whole row against one call for each prompt and rollout: outputs, gradients, block masks, programs.

There is no GPU here, so the kernel is torch's own reference of it, which has a backward pass on a CPU, too.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import BackendCompilerFailed
from torch._dynamo.testing import CompileCounterWithBackend
from torch.nn.attention import flex_attention as torch_flex
from transformers.masking_utils import chunked_causal_mask_function, sliding_window_causal_mask_function

from conf.schema import LearnerSettings
from learner.attention import flex
from learner.attention.flex import BlockMasks, can_run, naming_compile_errors
from learner.attention.layout import Layout, row_tokens
from learner.attention.packed import Implementation, PackedRow, packed_attention
from learner.attention.position_mask import PositionMask
from learner.batch_feed import build_step
from learner.model import as_policy
from learner.model_check import check_lm
from learner.unsupported_model import UnsupportedModel
from tests.learner.architectures import tiny_config, tiny_model
from tests.learner.tiny import random_groups, tiny_lm

CPU = torch.device("cpu")
LAYOUT: Layout = ((3, (2, 4)), (5, (1,)), (1, (6, 2)))
LONG: Layout = ((150, (140, 9)), (2, (1,)), (7, (40, 30)))
"""379 tokens: three blocks, of which one is full."""
WINDOW = PositionMask(sliding_window_causal_mask_function(3), 3)
CHUNKS = PositionMask(chunked_causal_mask_function(4, torch.zeros(1, dtype=torch.int64)), 4)
SINKS = torch.tensor([0.1, -1.0, 2.0, 0.5])


def _named(case: dict[str, Any]) -> str:
    """The same in every process that collects the tests, as pytest-xdist wants it."""
    return "-".join(case) or "causal"


@pytest.fixture
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch refuses a backward pass on a CPU by name, because no kernel has one; its reference has."""
    monkeypatch.setattr(torch_flex, "_validate_device", lambda *states: None)


@pytest.fixture
def reference(on_cpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_flex, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)
    monkeypatch.setattr(flex, "_compiled", lambda: torch_flex.flex_attention)


def results(
    implementation: Implementation, layout: Layout = LAYOUT, mask: PositionMask | None = None, *,
    heads: tuple[int, int] = (4, 2), sizes: tuple[int, int] = (16, 16), dtype: torch.dtype = torch.float32,
    sinks: Tensor | None = None, **options: Any,
) -> list[Tensor]:  # fmt: skip
    """Output, and the gradients of query, key, value and sinks. `sizes`: of a key and of a value."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(heads[0], sizes[0]), (heads[1], sizes[0]), (heads[1], sizes[1])]
    leaves = [torch.randn(1, n, row_tokens(layout), size, generator=generator).to(dtype) for n, size in shapes]
    if sinks is not None:
        leaves.append(sinks.to(dtype))
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    row, s_aux = PackedRow(layout, implementation), leaves[3] if sinks is not None else None
    output, _ = packed_attention(nn.Module(), *leaves[:3], mask, packed_row=row, s_aux=s_aux, **options)
    (output.float() * torch.randn(output.shape, generator=generator)).sum().backward()
    return [output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"mask": WINDOW},
        {"mask": CHUNKS, "scaling": 0.5},
        {"softcap": 0.7},
        {"sinks": SINKS},
        {"mask": WINDOW, "softcap": 0.7, "sinks": SINKS},
        {"heads": (3, 3), "sizes": (20, 20)},
        {"heads": (6, 2), "sizes": (24, 20)},
        {"layout": LONG},
        {"layout": LONG, "mask": PositionMask(sliding_window_causal_mask_function(30), None), "softcap": 0.7},
    ],
    ids=_named,
)
def test_one_call_for_a_row_gives_the_outputs_and_gradients_of_one_for_each_piece(
    case: dict[str, Any], reference: None
) -> None:
    pieces, flexible = results("pieces", **case), results("flex", **case)
    assert len(flexible) == len(pieces) == (5 if "sinks" in case else 4)
    for found, expected in zip(flexible, pieces, strict=True):
        torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("case", [{}, {"mask": WINDOW, "softcap": 0.7, "sinks": SINKS}], ids=_named)
def test_in_bfloat16_both_are_as_near_to_float32(case: dict[str, Any], reference: None) -> None:
    """bfloat16 has 8 bits: a rounding is up to 0.4 % of a value."""
    exact = results("pieces", **case)
    for implementation in ("pieces", "flex"):
        rounded = results(implementation, dtype=torch.bfloat16, **case)
        assert {part.dtype for part in rounded} == {torch.bfloat16}
        for found, expected in zip(rounded, exact, strict=True):
            assert (found.float() - expected).norm() < 0.02 * expected.norm()


def test_only_blocks_in_which_a_query_attends_to_a_key_are_computed() -> None:
    """Blocks of 128: the prompt, two rollouts, and a prompt of one token with padding. A rollout skips the other."""
    masks = BlockMasks(((128, (128, 128)), (1, (1,))))
    causal = masks.of(None, CPU)
    assert causal.to_dense()[0, 0].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]
    assert causal.full_kv_num_blocks is not None
    assert causal.full_kv_num_blocks.tolist() == [[[0, 1, 1, 0]]], "rollouts attend to the whole prompt"
    assert causal.kv_num_blocks.tolist() == [[[1, 1, 1, 1]]]
    nearby = masks.of(PositionMask(sliding_window_causal_mask_function(8), 8), CPU)
    assert nearby.full_kv_num_blocks is not None
    assert nearby.full_kv_num_blocks.tolist() == [[[0, 0, 0, 0]]]
    own_chunk = PositionMask(chunked_causal_mask_function(128, torch.zeros(1, dtype=torch.int64)), 128)
    assert masks.of(own_chunk, CPU).to_dense()[0, 0].tolist() == torch.eye(4, dtype=torch.int32).tolist()


def test_blocks_do_not_depend_on_how_many_pairs_are_looked_at_together(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = BlockMasks(LONG).of(None, CPU)
    monkeypatch.setattr(flex, "_PAIRS", 1)
    assert torch.equal(BlockMasks(LONG).of(None, CPU).to_dense(), whole.to_dense())


def test_layers_with_one_mask_share_its_blocks() -> None:
    masks = BlockMasks(LAYOUT)
    assert masks.of(WINDOW, CPU) is masks.of(WINDOW, CPU)
    assert masks.of(WINDOW, CPU) is not masks.of(None, CPU)
    wide = PositionMask(sliding_window_causal_mask_function(9), 9)
    assert masks.of(wide, CPU) is masks.of(None, CPU), "the longest sample has 9 tokens"


@pytest.mark.parametrize(("device", "size", "possible"), [("cuda", 16, True), ("cuda", 8, False), ("cpu", 64, False)])
def test_the_device_and_the_size_of_heads_choose(device: str, size: int, possible: bool) -> None:
    query: Any = SimpleNamespace(device=torch.device(device), shape=(1, 4, 24, size))
    assert can_run(query) == PackedRow(LAYOUT).uses_flex(query) == possible
    assert not PackedRow(LAYOUT, "pieces").uses_flex(query)
    assert PackedRow(LAYOUT, "flex").uses_flex(query)


def test_a_whole_model_has_the_same_logprobs_and_gradients(reference: None) -> None:
    row = build_step(random_groups(2, seed=3), row_tokens=200, rank=0, world_size=1).rows[0]

    def found(attention: Implementation, *, checkpointing: bool = False) -> list[Any]:
        model = as_policy(
            tiny_lm(), temperature=0.8, chunk_tokens=7, attention=attention, gradient_checkpointing=checkpointing
        )
        logprobs, _ = model(row.input_ids, row.position_ids, row.layout, row.positions, row.targets)
        logprobs.sum().backward()
        return [logprobs.detach(), *(parameter.grad for parameter in model.parameters())]

    expected = found("pieces")
    for ours in (found("flex"), found("flex", checkpointing=True)):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["gemma2", "gpt_oss"])
def test_the_model_check_finds_no_difference(name: str, reference: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows with a soft cap, windows with sinks; the check compares with the model's own forward pass."""
    calls: list[tuple[Any, ...]] = []
    kernel = flex._compiled()

    def counted(*states: Tensor, **options: Any) -> Any:
        calls.append(states)
        return kernel(*states, **options)

    monkeypatch.setattr(flex, "_compiled", lambda: counted)
    settings = LearnerSettings(attention="flex", row_tokens=128)
    agreement = check_lm(tiny_model(tiny_config(name)), dtype=torch.float32, settings=settings, temperature=1.0)
    assert agreement.rms_difference <= agreement.bound
    assert calls


@pytest.fixture
def programs(on_cpu: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[CompileCounterWithBackend]:
    """Traced as for a GPU, with forward and backward programs, and then run operator by operator."""
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(torch_flex.flex_attention, fullgraph=True, backend=counter)
    monkeypatch.setattr(flex, "_compiled", lambda: compiled)
    yield counter
    torch._dynamo.reset()


def test_rows_of_other_lengths_and_layouts_use_the_program_of_earlier_ones(
    programs: CompileCounterWithBackend,
) -> None:
    layouts: list[Layout] = [LAYOUT, LONG, ((300, (120,)), (70, (1, 2, 80)))]
    for number, layout in enumerate(layouts):
        window = PositionMask(sliding_window_causal_mask_function(3), None)  # a new function, as in each forward pass
        case = {"layout": layout, "mask": window, "softcap": 0.7 + number, "sinks": SINKS}
        for found, expected in zip(results("flex", **case), results("pieces", **case), strict=True):
            torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-5)
    assert programs.frame_count == 2, "the first length, then any length"


def test_a_machine_that_cannot_compile_gets_one_line_with_the_way_back() -> None:
    def no_compiler(*_: Any) -> None: ...

    broken = BackendCompilerFailed(no_compiler, RuntimeError("No valid triton configs.\nand much more"), None)
    with pytest.raises(UnsupportedModel) as caught, naming_compile_errors():
        raise broken
    assert str(caught.value) == (
        "FlexAttention cannot be compiled for this model on this machine: RuntimeError: No valid triton configs.; "
        "set learner.attention=pieces"
    )
