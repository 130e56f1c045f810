"""Policy losses and ratio masks once more: token by token, in plain Python, by the case distinctions of the papers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from conf.schema import LearnerSettings


@dataclass(frozen=True)
class Token:
    new: float
    """log pi"""
    old: float
    """log pi_behaviour"""
    advantage: float
    sequence: int
    """Number of the token's sequence, unique in the step."""
    lag: int = 0

    @property
    def ratio(self) -> float:
        return math.exp(self.new - self.old)


def slow_losses(tokens: Sequence[Token], chosen: LearnerSettings) -> list[tuple[float, float]]:
    """(loss, slope) of each token of a step. The slope is that of the sum of all losses in the token's log pi."""
    kept = slow_mask(tokens, chosen)
    return [
        _loss(token, [t for t in tokens if t.sequence == token.sequence], chosen) if keep else (0.0, 0.0)
        for token, keep in zip(tokens, kept, strict=True)
    ]


def _loss(token: Token, same: Sequence[Token], chosen: LearnerSettings) -> tuple[float, float]:
    a, w = token.advantage, token.ratio
    low, high = chosen.ratio_min, chosen.ratio_max
    product = math.prod(t.ratio for t in same)
    if chosen.policy_loss == "truncated_is":
        return _weighted(min(w, high), token)
    if chosen.policy_loss == "cispo":
        return _weighted(min(max(w, low), high), token)
    if chosen.policy_loss == "sequence_is":
        return _weighted(min(product, high), token)
    if chosen.policy_loss == "gspo":
        return _clipped(product ** (1 / len(same)), a, low, high, None)
    if chosen.policy_loss == "ppo_clip":
        return _clipped(w, a, low, high, chosen.dual_clip)
    assert chosen.policy_loss == "decoupled_clip"
    share = 1 / token.lag if token.lag else 0.0
    proximal = share * token.old + (1 - share) * token.new
    behaviour_weight = math.exp(proximal - token.old)
    loss, slope = _clipped(math.exp(token.new - proximal), a, low, high, None)
    return behaviour_weight * loss, behaviour_weight * slope


def _weighted(weight: float, token: Token) -> tuple[float, float]:
    return -weight * token.advantage * token.new, -weight * token.advantage


def _clipped(ratio: float, a: float, low: float, high: float, bound: float | None) -> tuple[float, float]:
    if a >= 0:
        return (-ratio * a, -ratio * a) if ratio <= high else (-high * a, 0.0)
    if ratio < low:
        return -low * a, 0.0
    return (-ratio * a, -ratio * a) if bound is None or ratio <= bound else (-bound * a, 0.0)


def slow_mask(tokens: Sequence[Token], chosen: LearnerSettings) -> list[bool]:
    """Whether each token is kept."""
    if chosen.ratio_mask == "none":
        return [True for _ in tokens]
    if chosen.ratio_mask == "second_moment":
        return _algorithm_1(tokens, chosen.second_moment_max)
    kept = []
    for token in tokens:
        ratios = [t.ratio for t in tokens if t.sequence == token.sequence]
        ratio = {
            "token": token.ratio,
            "sequence": math.prod(ratios),
            "sequence_mean": math.prod(ratios) ** (1 / len(ratios)),
        }[chosen.ratio_mask]
        kept.append(chosen.mask_min <= ratio <= chosen.mask_max)
    return kept


def _algorithm_1(tokens: Sequence[Token], tau: float) -> list[bool]:
    """M2PO (arXiv 2510.01161): takes the largest out of the trust-region tokens while their mean exceeds tau."""
    squares = [(t.new - t.old) ** 2 for t in tokens]
    kept = [True for _ in tokens]
    region = {
        i
        for i, t in enumerate(tokens)
        if (t.advantage > 0 and t.new > t.old) or (t.advantage < 0 and t.new < t.old)
    }
    while region and sum(squares[i] for i in region) / len(region) > tau:
        largest = max(region, key=lambda i: squares[i])
        kept[largest] = False
        region.remove(largest)
    return kept
