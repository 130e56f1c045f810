"""Log-probabilities and entropies in chunks against the full log_softmax and its gradients by autograd."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from learner.logprobs import chunked_logprobs, chunks_of

N, H, V = 23, 8, 40
LENGTHS = (4, 7, 5, 1, 6)

Parts = tuple[Tensor, Tensor, Tensor]


@pytest.fixture
def parts() -> Parts:
    torch.manual_seed(0)
    return torch.randn(N, H, dtype=torch.float64), torch.randint(0, V, (N,)), torch.randn(V, H, dtype=torch.float64)


class Head:
    """A linear head that notes how many tokens it projects at a time."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.widths: list[int] = []

    def __call__(self, hidden: Tensor) -> Tensor:
        self.widths.append(len(hidden))
        return hidden @ self.weight.T


@dataclass
class Expected:
    """The gradient of sum of n log p_n + (N - n) H_n, which may be told wrong."""

    units: Sequence[int] | None = None
    wrong_at: int | None = None
    """Index of a token."""

    def __call__(self, tokens: slice, logprobs: Tensor, entropies: Tensor) -> tuple[Tensor, Tensor]:
        assert not logprobs[tokens.stop :].any()
        assert entropies[tokens].all()
        of_logprobs, of_entropies = upstream()
        if self.wrong_at is not None:
            of_logprobs[self.wrong_at] += 1.0
        return of_logprobs[tokens], of_entropies[tokens]


def upstream() -> tuple[Tensor, Tensor]:
    ascending = torch.arange(N, dtype=torch.float64)
    return ascending, ascending.flip(0)


def full_logprobs(hidden: Tensor, targets: Tensor, weight: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    full = torch.log_softmax(hidden @ weight.T / temperature, dim=-1)
    return full[torch.arange(len(hidden)), targets], -(full.exp() * full).sum(-1)


def test_chunks_are_whole_units_or_pieces_of_a_longer_one() -> None:
    def described(units: Sequence[int] | None, chunk_tokens: int) -> list[tuple[int, int, bool]]:
        chunks = chunks_of(sum(units or LENGTHS), units, chunk_tokens)
        return [(chunk.tokens.start, chunk.tokens.stop, chunk.whole) for chunk in chunks]

    assert described((4, 7, 5, 1, 6), 11) == [(0, 11, True), (11, 17, True), (17, 23, True)]
    assert described((4, 7, 2), 5) == [(0, 4, True), (4, 9, False), (9, 11, False), (11, 13, True)]
    assert described((4, 7), 100) == [(0, 11, True)]
    assert described(None, 10) == [(0, 10, True), (10, 20, True), (20, 23, True)]


@pytest.mark.parametrize("chunk_tokens", [1, 5, 23, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("entropy_gradient", [False, True])
@pytest.mark.parametrize(
    "expected", [None, Expected(), Expected(LENGTHS), Expected(wrong_at=9), Expected(LENGTHS, wrong_at=9)],
    ids=["nothing", "tokens", "units", "tokens wrong", "units wrong"],
)  # fmt: skip
def test_chunks_equal_the_full_log_softmax(
    parts: Parts, chunk_tokens: int, temperature: float, entropy_gradient: bool, expected: Expected | None
) -> None:
    """Whatever is expected, the gradients are those of what arrives."""
    hidden, targets, weight = parts
    of_logprobs, of_entropies = upstream()
    results = []
    for chunked in (True, False):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        if chunked:
            logprobs, entropies = chunked_logprobs(
                h, targets, Head(w), [w], temperature=temperature, chunk_tokens=chunk_tokens,
                entropy_gradient=entropy_gradient, expected=expected,
            )  # fmt: skip
            assert entropies.requires_grad == entropy_gradient
        else:
            logprobs, entropies = full_logprobs(h, targets, w, temperature)
        objective = (logprobs * of_logprobs).sum()
        if entropy_gradient:
            objective = objective + (entropies * of_entropies).sum()
        objective.backward()
        results.append((logprobs.detach(), entropies.detach(), h.grad, w.grad))
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference)


WIDTHS = [4, 7, 6, 6]
"""Of chunks of at most 8 tokens."""


@pytest.mark.parametrize(
    ("expected", "widths", "again"),
    [
        (None, [8, 8, 7], [8, 8, 7]),
        (Expected(), [8, 8, 7], []),
        (Expected(LENGTHS), WIDTHS, []),
        (Expected((4, 7, 12)), [4, 7, 8, 4], [8, 4]),
        (Expected(LENGTHS, wrong_at=9), WIDTHS, WIDTHS),
    ],
    ids=["nothing", "tokens", "units", "a long unit", "wrong"],
)
def test_logits_are_not_kept_and_computed_again_only_where_the_gradient_was_not_known(
    parts: Parts, expected: Expected | None, widths: list[int], again: list[int]
) -> None:
    hidden, targets, weight = parts
    head = Head(weight.requires_grad_())
    logprobs, entropies = chunked_logprobs(
        hidden.requires_grad_(), targets, head, [weight], temperature=1.0, chunk_tokens=8, entropy_gradient=True,
        expected=expected,
    )  # fmt: skip
    assert head.widths == widths
    kept = [part for part in logprobs.grad_fn.saved_tensors if part is not None]
    assert {tuple(part.shape) for part in kept} == {(N, H), (N,)}
    of_logprobs, of_entropies = upstream()
    ((logprobs * of_logprobs).sum() + (entropies * of_entropies).sum()).backward()
    assert head.widths == widths + again


def test_a_second_backward_pass_computes_the_gradients_again(parts: Parts) -> None:
    hidden, targets, weight = parts
    head = Head(weight.requires_grad_())
    logprobs, _ = chunked_logprobs(
        hidden, targets, head, [weight], temperature=1.0, chunk_tokens=8, expected=Expected()
    )
    objective = (logprobs * upstream()[0]).sum()
    objective.backward(retain_graph=True)
    once = weight.grad.clone()
    objective.backward()
    torch.testing.assert_close(weight.grad, 2 * once)
    assert head.widths == [8, 8, 7] * 2


def test_without_gradients_nothing_is_expected(parts: Parts) -> None:
    hidden, targets, weight = parts
    with torch.no_grad():
        logprobs, _ = chunked_logprobs(
            hidden, targets, Head(weight.requires_grad_()), [weight], temperature=1.0, chunk_tokens=8,
            expected=Expected(wrong_at=99),
        )  # fmt: skip
    torch.testing.assert_close(logprobs, full_logprobs(hidden, targets, weight, 1.0)[0].detach())


def test_a_parameter_without_influence_gets_no_gradient(parts: Parts) -> None:
    hidden, targets, weight = parts
    frozen, other = torch.ones(3), torch.ones(3, requires_grad=True)
    logprobs, _ = chunked_logprobs(
        hidden, targets, Head(weight.requires_grad_()), [weight, frozen, other], temperature=1.0, chunk_tokens=8
    )
    logprobs.sum().backward()
    assert weight.grad is not None
    assert other.grad is None


def test_the_gradient_of_a_bfloat16_weight_is_summed_in_float32() -> None:
    torch.manual_seed(0)
    hidden, targets = torch.randn(256, H), torch.randint(0, V, (256,))
    weight = torch.randn(V, H, dtype=torch.bfloat16, requires_grad=True)
    wide = weight.detach().float().requires_grad_()
    for w, chunk_tokens in ((weight, 1), (wide, 256)):
        chunked_logprobs(
            hidden, targets, lambda x, w=w: x @ w.float().T, [w], temperature=1.0, chunk_tokens=chunk_tokens
        )[0].sum().backward()
    torch.testing.assert_close(weight.grad, wide.grad.bfloat16(), atol=0.05, rtol=0.01)


def test_the_gradient_of_the_entropy_passes_gradcheck(parts: Parts) -> None:
    hidden, targets, weight = (part[:4] for part in parts)

    def entropy(h: Tensor, w: Tensor) -> Tensor:
        return chunked_logprobs(
            h, targets % 4, Head(w), [w], temperature=0.7, chunk_tokens=3, entropy_gradient=True
        )[1]  # fmt: skip

    assert torch.autograd.gradcheck(entropy, (hidden.requires_grad_(), weight.requires_grad_()))


def test_a_uniform_distribution_has_entropy_log_v() -> None:
    logprobs, entropy = chunked_logprobs(
        torch.zeros(2, H), torch.tensor([3, 9]), Head(torch.zeros(V, H)), [], temperature=1.0, chunk_tokens=8
    )
    assert entropy.tolist() == pytest.approx([torch.log(torch.tensor(float(V))).item()] * 2)
    assert logprobs.tolist() == pytest.approx((-entropy).tolist())
