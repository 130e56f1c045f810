"""P4: how full packed rows are, for lengths as on a laptop and for the long tails of reasoning."""

import numpy as np

from broker.records import RolloutGroup, TrainGroup, int32_bytes
from conf.load import load
from learner.batch_feed import build_step
from tests.bench.measure import Measure, of_pairs
from tests.groups import completion, train_group

STEPS = 20
LONGEST = 8192


def packing() -> list[Measure]:
    learner = load(None, []).learner
    random = np.random.default_rng(0)
    short = [_fill(random, 40, 45, 0.3, 256, learner.row_tokens, ranks=1) for _ in range(STEPS)]
    long = [_fill(random, 200, 1500, 0.8, LONGEST, 2 * LONGEST, ranks=4) for _ in range(STEPS)]
    return [
        of_pairs(
            "P4", "packing: tokens / room of the packed rows, shipped batch on a laptop", short, target=">= 0.9",
            detail=f"{STEPS} steps of 64 rollouts around 45 tokens, rows of {learner.row_tokens}, 1 rank",
        ),
        of_pairs(
            "P4", "packing: the same with a long tail of lengths", long, target=">= 0.9",
            detail=f"{STEPS} steps of 64 rollouts around 1,500, at most {LONGEST}, rows of {2 * LONGEST}, 4 ranks",
        ),
    ]  # fmt: skip


def _fill(
    random: np.random.Generator, prompt: int, median: int, sigma: float, longest: int, row_tokens: int, *, ranks: int
) -> float:
    """Fill of one step of 8 groups of 8 rollouts; lengths are log-normal."""
    groups = []
    for group_id in range(8):
        lengths = np.minimum(longest, random.lognormal(np.log(median), sigma, 8).astype(int) + 1)
        groups.append(_group(group_id, prompt, lengths.tolist()))
    return build_step(groups, row_tokens=row_tokens, rank=0, world_size=ranks).packing_fill


def _group(group_id: int, prompt: int, lengths: list[int]) -> TrainGroup:
    return train_group(
        RolloutGroup(
            group_id=group_id, problem_id="p", arm="unguided", bucket="hard", actor="bench",
            prompt_ids=int32_bytes(range(1, prompt + 1)),
            rollouts=tuple(completion(float(i % 2), num_tokens=n) for i, n in enumerate(lengths)),
        )
    )  # fmt: skip
