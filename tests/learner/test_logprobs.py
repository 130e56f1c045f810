"""Log-probabilities and entropies in chunks against the full log_softmax."""

import pytest
import torch
from torch import Tensor

from learner.logprobs import chunked_logprobs

N, H, V = 23, 8, 40


@pytest.fixture
def parts() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(N, H, dtype=torch.float64), torch.randint(0, V, (N,)), torch.randn(V, H, dtype=torch.float64)


@pytest.mark.parametrize("chunk_tokens", [1, 5, 23, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("entropy_gradient", [False, True])
def test_chunks_equal_the_full_log_softmax(
    parts: tuple[Tensor, Tensor, Tensor], chunk_tokens: int, temperature: float, entropy_gradient: bool
) -> None:
    hidden, targets, weight = parts
    results = []
    for chunked in (True, False):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        if chunked:
            logprobs, entropy = chunked_logprobs(
                h, targets, lambda x, w=w: x @ w.T, temperature=temperature, chunk_tokens=chunk_tokens,
                entropy_gradient=entropy_gradient,
            )  # fmt: skip
            assert entropy.requires_grad == entropy_gradient
        else:
            full = torch.log_softmax(h @ w.T / temperature, dim=-1)
            logprobs, entropy = full[torch.arange(N), targets], -(full.exp() * full).sum(-1)
        objective = (logprobs * torch.arange(N)).sum()
        if entropy_gradient:
            objective = objective + (entropy * torch.arange(N).flip(0)).sum()
        objective.backward()
        results.append((logprobs.detach(), entropy.detach(), h.grad, w.grad))
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference)


def test_only_one_chunk_of_logits_is_kept_at_a_time(parts: tuple[Tensor, Tensor, Tensor]) -> None:
    hidden, targets, weight = parts
    widths: list[int] = []

    def head(chunk: Tensor) -> Tensor:
        widths.append(len(chunk))
        return chunk @ weight.T

    saved: list[tuple[int, ...]] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logprobs, _ = chunked_logprobs(hidden.requires_grad_(), targets, head, temperature=1.0, chunk_tokens=6)
    assert widths == [6, 6, 6, 5]
    assert all(V not in shape for shape in saved), "logits are computed again in the backward pass, not kept"
    logprobs.sum().backward()
    assert len(widths) == 8


def test_the_gradient_of_the_entropy_passes_gradcheck(parts: tuple[Tensor, Tensor, Tensor]) -> None:
    hidden, targets, weight = (part[:4] for part in parts)

    def entropy(h: Tensor, w: Tensor) -> Tensor:
        return chunked_logprobs(
            h, targets % 4, lambda x: x @ w.T, temperature=0.7, chunk_tokens=3, entropy_gradient=True
        )[1]

    assert torch.autograd.gradcheck(entropy, (hidden.requires_grad_(), weight.requires_grad_()))


def test_a_uniform_distribution_has_entropy_log_v() -> None:
    logprobs, entropy = chunked_logprobs(
        torch.zeros(2, H), torch.tensor([3, 9]), lambda x: x @ torch.zeros(H, V), temperature=1.0, chunk_tokens=8
    )
    assert entropy.tolist() == pytest.approx([torch.log(torch.tensor(float(V))).item()] * 2)
    assert logprobs.tolist() == pytest.approx((-entropy).tolist())
