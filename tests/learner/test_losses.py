"""Policy losses against numbers by hand, slow loops and numerical gradients."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from learner.losses.luffy import luffy
from learner.losses.policy import (
    MAX_LOG_RATIO,
    POLICY_LOSSES,
    cispo,
    dual_clip,
    log_ratio_of,
    ppo_clip,
    sequence_log_mean,
    token_log_ratio,
    truncated_is,
)
from learner.losses.regularizers import k3

LN2 = math.log(2.0)
TOKEN_LEVEL = ("ppo_clip", "truncated_is", "cispo")


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def policy_loss(
    name: str, new: Tensor, old: Tensor, advantages: Tensor, low: float, high: float, sequences: Tensor | None = None
) -> Tensor:
    """The loss of that name as the learner computes it at lag 1; without `sequences` every token is a sequence."""
    sequences = torch.arange(len(new)) if sequences is None else sequences
    lags = torch.ones(len(new), dtype=torch.int64)
    return POLICY_LOSSES[name](new, log_ratio_of(name, new, old, sequences, lags), advantages, low, high)


def slow_losses(
    name: str,
    new: list[float],
    old: list[float],
    advantages: list[float],
    sequences: list[int],
    low: float,
    high: float,
) -> list[float]:
    """The table of `learner.losses.policy`, in plain Python."""
    losses = []
    for i, a in enumerate(advantages):
        same = [j for j, s in enumerate(sequences) if s == sequences[i]]
        w = math.exp(new[i] - old[i])
        s = math.prod(math.exp(new[j] - old[j]) for j in same) ** (1 / len(same))
        clip = lambda x: min(max(x, low), high)  # noqa: E731
        losses.append({
            "ppo_clip": -min(w * a, clip(w) * a),
            "truncated_is": -min(w, high) * a * new[i],
            "cispo": -clip(w) * a * new[i],
            "gspo": -min(s * a, clip(s) * a),
            "sequence_is": -min(s ** len(same), high) * a * new[i],
            "decoupled_clip": -min(w * a, clip(w) * a),
        }[name])  # fmt: skip
    return losses


def gradient(form: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.detach().clone().requires_grad_()
    form(at).sum().backward()
    assert at.grad is not None
    return at.grad


def random_tokens(n: int = 24, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """new, old, advantages and sequence numbers of tokens in sequences of 1 to 6."""
    torch.manual_seed(seed)
    old = -torch.rand(n, dtype=torch.float64) * 3
    new = (old + 0.8 * torch.randn(n, dtype=torch.float64)).clamp(max=0)
    lengths = torch.tensor([1, 6, 5, 2, 4, 6])
    assert lengths.sum() == n
    sequences = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    return new, old, torch.randn(len(lengths), dtype=torch.float64)[sequences], sequences


def test_the_losses_by_hand() -> None:
    # Ratios 2, 1/2, 8 against the bounds [0, 5].
    new, old, advantages = numbers(-1.0, -1.0, -1.0), numbers(-1 - LN2, -1 + LN2, -1 - 3 * LN2), numbers(1.0, -2.0, 1.0)
    assert policy_loss("ppo_clip", new, old, advantages, 0.0, 5.0).tolist() == pytest.approx([-2.0, 1.0, -5.0])
    assert policy_loss("truncated_is", new, old, advantages, 0.0, 5.0).tolist() == pytest.approx([2.0, -1.0, 5.0])
    assert policy_loss("cispo", new, old, advantages, 0.8, 1.28).tolist() == pytest.approx([1.28, -1.6, 1.28])
    # One sequence with ratios 8 and 1/2: their geometric mean is 2.
    new, old, advantages = numbers(-1.0, -1.0), numbers(-1 - 3 * LN2, -1 + LN2), numbers(1.0, 1.0)
    pair = policy_loss("gspo", new, old, advantages, 0.0, 5.0, sequences=torch.tensor([0, 0]))
    assert pair.tolist() == pytest.approx([-2.0, -2.0])


def test_clip_higher_of_dapo_is_the_clip_with_its_bounds() -> None:
    new, old = numbers(0.0, 0.0, 0.0, 0.0), -numbers(1.2, 1.4, 0.9, 0.7).log()
    up = policy_loss("ppo_clip", new, old, torch.ones(4).double(), 0.8, 1.28)
    down = policy_loss("ppo_clip", new, old, -torch.ones(4).double(), 0.8, 1.28)
    assert up.tolist() == pytest.approx([-1.2, -1.28, -0.9, -0.7])
    assert down.tolist() == pytest.approx([1.2, 1.4, 0.9, 0.8])


@pytest.mark.parametrize("name", POLICY_LOSSES)
def test_a_loss_equals_the_slow_reference(name: str) -> None:
    for seed in range(20):
        new, old, advantages, sequences = random_tokens(seed=seed)
        low, high = (0.0 if name in ("truncated_is", "sequence_is") else 0.8), 1.28
        fast = policy_loss(name, new, old, advantages, low, high, sequences)
        slow = slow_losses(name, new.tolist(), old.tolist(), advantages.tolist(), sequences.tolist(), low, high)
        torch.testing.assert_close(fast, numbers(*slow), atol=1e-9, rtol=1e-9)


token = st.tuples(st.floats(-6, 0), st.floats(-6, 0), st.floats(-2, 2))


@given(st.lists(token, min_size=1, max_size=30), st.floats(0, 1), st.floats(1, 6))
def test_ppo_clip_equals_the_slow_loop(tokens: list[tuple[float, float, float]], low: float, high: float) -> None:
    new, old, advantages = (list(column) for column in zip(*tokens, strict=True))
    fast = policy_loss("ppo_clip", numbers(*new), numbers(*old), numbers(*advantages), low, high)
    assert fast.tolist() == pytest.approx(
        slow_losses("ppo_clip", new, old, advantages, list(range(len(new))), low, high)
    )


@pytest.mark.parametrize("name", ["ppo_clip", "gspo"])
def test_the_gradient_of_a_loss_passes_gradcheck(name: str) -> None:
    new, old, advantages, sequences = random_tokens()
    form = lambda x: policy_loss(name, x, old, advantages, 0.5, 1.7, sequences)  # noqa: E731
    assert torch.autograd.gradcheck(form, (new.requires_grad_(),))


@pytest.mark.parametrize("name", ["truncated_is", "cispo"])
def test_the_gradient_holds_the_truncated_ratio_fixed(name: str) -> None:
    new, old, advantages, sequences = random_tokens()
    low, high = (0.0 if name == "truncated_is" else 0.5), 1.7
    weight = (new - old).exp().clamp(low, high)
    ours = gradient(lambda x: policy_loss(name, x, old, advantages, low, high, sequences), new)
    torch.testing.assert_close(ours, -weight * advantages)


def test_the_gradient_of_gspo_is_eq_10_of_its_paper() -> None:
    # Of the mean over tokens of a sequence: -s A / |y| for each of its tokens, unless s is clipped.
    new, old, advantages, sequences = random_tokens()
    lengths = sequences.bincount()[sequences]
    ours = gradient(lambda x: policy_loss("gspo", x, old, advantages, 0.0, 1e6, sequences) / lengths, new)
    s = sequence_log_mean(token_log_ratio(new, old), sequences).exp()
    torch.testing.assert_close(ours, -s * advantages / lengths)


@pytest.mark.parametrize("name", TOKEN_LEVEL)
def test_at_ratio_one_every_token_form_has_the_gradient_of_reinforce(name: str) -> None:
    new, _, advantages, sequences = random_tokens()
    ours = gradient(lambda x: policy_loss(name, x, new, advantages, 0.0, 5.0, sequences), new)
    torch.testing.assert_close(ours, -advantages)


def test_at_ratio_one_gspo_has_the_gradient_of_reinforce_under_sequence_mean() -> None:
    new, _, advantages, sequences = random_tokens()
    lengths = sequences.bincount()[sequences]
    ours = gradient(lambda x: policy_loss("gspo", x, new, advantages, 0.9997, 1.0004, sequences) / lengths, new)
    torch.testing.assert_close(ours, -advantages / lengths)


def test_inside_the_bounds_all_token_forms_have_the_same_gradient() -> None:
    old, advantages, new = numbers(-1.0, -1.0, -1.5), numbers(1.0, -1.0, 0.3), numbers(-0.4, -1.7, -1.0)
    gradients = [
        gradient(lambda x, n=name: policy_loss(n, x, old, advantages, 0.1, 5.0), new).tolist() for name in TOKEN_LEVEL
    ]
    assert gradients[0] == pytest.approx(gradients[1])
    assert gradients[0] == pytest.approx(gradients[2])


def test_above_the_bound_eq_2_stops_rewards_and_the_truncated_forms_cap_both() -> None:
    old, advantages, new = numbers(-4.0, -4.0), numbers(1.0, -1.0), numbers(-1.0, -1.0)
    expected = {"ppo_clip": [0.0, math.exp(3.0)], "truncated_is": [-5.0, 5.0], "cispo": [-5.0, 5.0]}
    for name, slopes in expected.items():
        ours = gradient(lambda x, n=name: policy_loss(n, x, old, advantages, 0.0, 5.0), new)
        assert ours.tolist() == pytest.approx(slopes)


def dual_clip_by_cases(ratio: float, a: float, low: float, high: float, bound: float) -> tuple[float, float]:
    """Loss of a token and its slope in log pi, from the case distinction of dual-clip PPO (arXiv 1912.09729, eq. 5)."""
    if a >= 0:
        return (-ratio * a, -ratio * a) if ratio <= high else (-high * a, 0.0)
    if ratio < low:
        return -low * a, 0.0
    return (-ratio * a, -ratio * a) if ratio <= bound else (-bound * a, 0.0)


def test_the_dual_clip_by_hand() -> None:
    # verl: clip ratios 0.2 and 0.28, c = 3. A < 0 has ratios below, inside, above eq. 2's bound, and above c.
    ratios, advantages = numbers(0.5, 1.0, 2.0, 4.0, 4.0), numbers(-1.0, -1.0, -1.0, -1.0, 1.0)
    losses = dual_clip(ppo_clip(ratios, ratios.log(), advantages, 0.8, 1.28), advantages, 3.0)
    assert losses.tolist() == pytest.approx([0.8, 1.0, 2.0, 3.0, -1.28])
    eq_2 = ppo_clip(ratios, ratios.log(), advantages, 0.8, 1.28)
    assert dual_clip(eq_2, advantages, None) is eq_2
    assert eq_2.tolist() == pytest.approx([0.8, 1.0, 2.0, 4.0, -1.28])


@given(st.lists(token, min_size=1, max_size=20), st.floats(0, 1), st.floats(1, 3), st.floats(0.01, 4))
def test_the_dual_clip_and_its_gradient_equal_the_case_distinction(
    tokens: list[tuple[float, float, float]], low: float, high: float, above: float
) -> None:
    new, old, advantages = (numbers(*column) for column in zip(*tokens, strict=True))
    bound = high + above
    ratios = (new - old).exp()
    edges = torch.stack([(ratios - edge).abs() for edge in (low, high, bound)]).amin(0)
    inside = edges > 1e-9  # the slope is not unique on an edge

    def form(x: Tensor) -> Tensor:
        return dual_clip(ppo_clip(x, token_log_ratio(x, old), advantages, low, high), advantages, bound)

    pairs = zip(ratios.tolist(), advantages.tolist(), strict=True)
    expected = [dual_clip_by_cases(ratio, a, low, high, bound) for ratio, a in pairs]
    assert form(new).tolist() == pytest.approx([loss for loss, _ in expected])
    slopes = numbers(*(slope for _, slope in expected))
    torch.testing.assert_close(gradient(form, new)[inside], slopes[inside])


def test_the_gradient_of_the_dual_clip_passes_gradcheck() -> None:
    new, old, advantages, _ = random_tokens()
    form = lambda x: dual_clip(ppo_clip(x, token_log_ratio(x, old), advantages, 0.5, 1.2), advantages, 1.7)  # noqa: E731
    assert ((advantages < 0) & ((new - old).exp() > 1.7)).any()
    assert torch.autograd.gradcheck(form, (new.requires_grad_(),))


def test_below_the_bound_cispo_raises_the_weight_and_truncated_is_does_not() -> None:
    new, old, advantages = numbers(-3.0), numbers(-1.0), numbers(1.0)
    assert gradient(lambda x: cispo(x, token_log_ratio(x, old), advantages, 0.8, 1.28), new).tolist() == [-0.8]
    unbounded = gradient(lambda x: truncated_is(x, token_log_ratio(x, old), advantages, 0.0, 1.28), new)
    assert unbounded.tolist() == pytest.approx([-math.exp(-2.0)])


def test_an_extreme_ratio_stays_finite() -> None:
    ratio = token_log_ratio(numbers(0.0, -1e4), numbers(-1e4, 0.0)).exp()
    assert ratio.tolist() == pytest.approx([math.exp(MAX_LOG_RATIO), math.exp(-MAX_LOG_RATIO)])
    for name in POLICY_LOSSES:
        new = numbers(0.0, -1e4).requires_grad_()
        loss = policy_loss(name, new, numbers(-1e4, 0.0), numbers(-1.0, 1.0), 0.0, 5.0)
        loss.sum().backward()
        assert torch.isfinite(loss).all()
        assert new.grad is not None
        assert torch.isfinite(new.grad).all()


def test_ppo_clip_ignores_log_pi_itself() -> None:
    assert ppo_clip(numbers(-9.0), numbers(0.0), numbers(2.0), 0.8, 1.2).tolist() == [-2.0]


def test_luffy_by_hand_and_by_gradcheck() -> None:
    # pi = 0.1, gamma 0.1: f = 1/2 and f' pi = 0.1 * 0.1 / 0.2^2 = 1/4.
    new = numbers(math.log(0.1), math.log(0.9))
    assert luffy(new, numbers(1.0, 2.0), 0.1).tolist() == pytest.approx([-0.5, -1.8])
    slopes = gradient(lambda x: luffy(x, numbers(1.0, 2.0), 0.1), new)
    assert slopes.tolist() == pytest.approx([-0.25, -2 * 0.9 * 0.1 / 1.0**2])
    assert torch.autograd.gradcheck(lambda x: luffy(x, numbers(1.0, 2.0), 0.1), (new.requires_grad_(),))


def test_luffy_learns_most_from_what_the_policy_finds_unlikely() -> None:
    # Of pi^2's weight under plain importance sampling, shaping moves the peak from pi = 1 to pi = gamma.
    slopes = -gradient(lambda x: luffy(x, torch.ones_like(x), 0.1), numbers(0.001, 0.1, 0.9).log())
    assert slopes[1] > slopes[2] > slopes[0]


def test_k3_by_hand_and_by_gradcheck() -> None:
    new, reference = numbers(-1.0, -1.0, -1.0), numbers(-1.0, -1 + LN2, -1 - LN2)
    assert k3(new, reference).tolist() == pytest.approx([0.0, 1 - LN2, LN2 - 0.5])
    assert gradient(lambda x: k3(x, reference), new).tolist() == pytest.approx([0.0, -1.0, 0.5])
    assert torch.autograd.gradcheck(lambda x: k3(x, reference), (new.requires_grad_(),))
    assert k3(numbers(0.0), numbers(-1e5)).isfinite().all()
    assert k3(numbers(-1e5), numbers(0.0)).isfinite().all()


def test_the_mean_of_k3_over_samples_of_the_policy_is_the_kl_divergence() -> None:
    torch.manual_seed(0)
    policy, reference = (torch.log_softmax(torch.randn(7, dtype=torch.float64), -1) for _ in range(2))
    exact = (policy.exp() * (policy - reference)).sum()
    torch.testing.assert_close((policy.exp() * k3(policy, reference)).sum(), exact)
