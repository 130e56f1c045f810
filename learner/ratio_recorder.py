"""Records token-level importance ratios of the readable rollouts in Redis (`broker/rollout_samples.py`)."""

from functools import partial

from torch import Tensor

from broker.connection import Retrying
from broker.rollout_samples import RolloutSamples
from learner.batch_feed import Row
from learner.losses.policy import token_log_ratio


class RatioRecorder:
    """A `StepObserver` for rank 0. Rollouts trained by other ranks are not recorded."""

    def __init__(self, samples: RolloutSamples, retry: Retrying) -> None:
        self._samples, self._retry = samples, retry
        self._shown: set[tuple[int, int]] = set()
        self._ratios: dict[tuple[int, int], list[float]] = {}

    def start_step(self) -> None:
        """Reads which rollouts are among the newest samples."""
        self._shown = self._retry(self._samples.shown)
        self._ratios = {}

    def on_row(self, row: Row, logprobs: Tensor) -> None:
        """Keeps the ratios of the row's shown rollouts; logprobs [N] are the policy's."""
        shown = [(number, key) for number, key in enumerate(row.rollouts) if key in self._shown]
        if not shown:
            return
        ratios = token_log_ratio(logprobs.detach().float(), row.behaviour_logprobs).exp()
        for number, key in shown:
            self._ratios[key] = ratios[row.sequences == number].tolist()

    def write(self, step: int) -> None:
        """Writes the ratios of the step to Redis, one entry per rollout."""
        for (group_id, index), ratios in self._ratios.items():
            self._retry(partial(self._samples.add_ratios, group_id, index, step, ratios))
