"""How much learner and engine may disagree about rollouts of lag 0 (`learner/engine_agreement.py`)."""

from conf.schema import RunConfig

BOUNDS = {"float32": 1e-3, "bfloat16": 0.2}
"""`model.dtype` -> largest root mean square of log pi - log pi_behaviour at lag 0, nats, without outliers.

Measured in float32: 2e-7 to 1e-5. In bfloat16 trainers and vLLM are reported to differ by a mean of 0.005 to 0.011 nats
for dense models, and by KL divergences of up to 0.01 for mixtures of experts; a root mean square d is a KL divergence
of about d^2 / 2, so that the bound is a divergence of 0.02."""


def engine_bound(config: RunConfig) -> float:
    """The bound of a run, nats: `learner.max_engine_rms`, or the one of `model.dtype`."""
    given = config.learner.max_engine_rms
    return BOUNDS[config.model.dtype] if given is None else given
