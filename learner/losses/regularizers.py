"""The KL penalty. (The entropy bonus is the exact entropy that `logprobs.py` computes.)"""

from torch import Tensor

from learner.losses.policy import MAX_LOG_RATIO


def k3(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """exp(d) - d - 1 with d = log pi_ref - log pi, [N]: GRPO (arXiv 2402.03300) eq. 4, >= 0, with gradient through pi.

    Its mean over tokens sampled from pi is an unbiased estimate of KL(pi || pi_ref); here the tokens are sampled from
    an older pi, so it is slightly biased. Clamped where exp would overflow.
    """
    d = (reference_logprobs - logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return d.exp() - d - 1
