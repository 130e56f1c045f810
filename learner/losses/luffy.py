"""LUFFY's loss of an oracle solution among the rollouts of a group (arXiv 2504.14945, policy shaping)."""

from torch import Tensor


def luffy(logprobs: Tensor, advantages: Tensor, gamma: float) -> Tensor:
    """-f(pi) A with f(x) = x / (x + gamma), [N]. The solution has no logprobs, so pi_off is taken as 1 and w = pi.

    There is no clip: it would remove the gradient of unlikely tokens, from which most can be learned. The gradient is
    -f'(pi) pi A grad log pi with f'(x) = gamma / (x + gamma)^2, so tokens that are already likely have little weight.
    """
    pi = logprobs.exp()
    return -pi / (pi + gamma) * advantages
