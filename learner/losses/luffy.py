"""LUFFY's loss of an oracle solution that is a member of a group (arXiv 2504.14945, policy shaping)."""

from torch import Tensor


def luffy(logprobs: Tensor, advantages: Tensor, gamma: float) -> Tensor:
    """-f(pi) A with f(x) = x / (x + gamma), [N]: nobody's logprobs exist, so pi_off is taken as 1 and w = pi.

    No clip: it would stop at tokens the policy finds unlikely, which are the ones to learn from. The gradient is
    -f'(pi) pi A grad log pi with f'(x) = gamma / (x + gamma)^2, so tokens the policy already writes weigh little.
    """
    pi = logprobs.exp()
    return -pi / (pi + gamma) * advantages
