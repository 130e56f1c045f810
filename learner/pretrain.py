"""Supervised training of a small causal LM from scratch on a CPU, for the built-in base models.

Sequences of about the same length share a micro-batch, padded on the right: under a causal mask, padding after a text
does not change the text, so no attention mask is needed. Each micro-batch is computed by one thread, which keeps its
tensors in cache and does not stall when another process takes the second core. The micro-batches and the order of their
sums do not depend on the number of threads, so the result does not either.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from learner.schedule import warmup_then_linear

MICRO_BATCHES = 4
"""Micro-batches per step; of about equal size, so that two or four threads finish at the same time."""
WARMUP_SHARE = 0.05
GRADIENT_CLIP = 1.0
ADAM_BETAS = (0.9, 0.99)

Sequences = Sequence[Sequence[int] | NDArray[np.int32]]


def pretrain(
    model: nn.Module,
    sequences: Sequences,
    first_loss_index: Sequence[int],
    *,
    tokens_per_step: int = 4096,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.0,
    threads: int = 2,
    seed: int = 0,
    on_step: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Trains `model` (a Hugging Face causal LM, in place) for one epoch. Returns the loss of each step, nats per token.

    Token `first_loss_index[i]` of sequence i is the first that is predicted: the length of its prompt, or 1 to train on
    all of it. The learning rate rises over the first 5 % of the steps and falls linearly to zero. `on_step(step, loss)`
    is called after every step, counted from 1. Raises ValueError for an invalid `first_loss_index`.
    """
    _check(sequences, first_loss_index)
    steps = split_into_steps([len(s) for s in sequences], tokens_per_step, seed)
    parameters = [p for p in model.parameters() if p.requires_grad]
    # Muon learns the built-in corpus from half the examples, but its models lose the answer format in RL and collapse.
    optimizer = torch.optim.AdamW(
        parameters, lr=learning_rate, betas=ADAM_BETAS, weight_decay=weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: warmup_then_linear(done + 1, len(steps), WARMUP_SHARE)
    )
    losses = []
    threads_before = torch.get_num_threads()
    model.train()
    with ThreadPoolExecutor(threads, initializer=lambda: torch.set_num_threads(1)) as pool:
        for numbers in steps:
            num_targets = sum(len(sequences[i]) - first_loss_index[i] for i in numbers)
            batches = [
                _pad([sequences[i] for i in batch], [first_loss_index[i] for i in batch])
                for batch in split_by_length(numbers, [len(s) for s in sequences])
            ]
            results = list(pool.map(lambda batch, n=num_targets: _gradients(model, parameters, batch, n), batches))
            for parameter, gradients in zip(parameters, zip(*(g for _, g in results), strict=True), strict=True):
                parameter.grad = torch.stack(gradients).sum(dim=0) if len(gradients) > 1 else gradients[0]
            nn.utils.clip_grad_norm_(parameters, GRADIENT_CLIP)
            optimizer.step()
            schedule.step()
            losses.append(sum(loss for loss, _ in results))
            if on_step is not None:
                on_step(len(losses), losses[-1])
    optimizer.zero_grad(set_to_none=True)
    torch.set_num_threads(threads_before)
    model.eval()
    return losses


def split_into_steps(lengths: Sequence[int], tokens_per_step: int, seed: int) -> list[list[int]]:
    """Sequence numbers in a random order, cut into steps; the sequence that reaches `tokens_per_step` ends a step."""
    steps: list[list[int]] = []
    room = 0
    for i in np.random.default_rng(seed).permutation(len(lengths)).tolist():
        if room <= 0:
            steps.append([])
            room = tokens_per_step
        steps[-1].append(i)
        room -= lengths[i]
    return steps


def split_by_length(numbers: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """The sequences of one step, longest first, cut into at most `MICRO_BATCHES` of about the same padded size."""
    ordered = sorted(numbers, key=lambda i: -lengths[i])
    low, high = lengths[ordered[0]], len(ordered) * lengths[ordered[0]]
    while low < high:  # the smallest padded size that needs no more micro-batches
        middle = (low + high) // 2
        if len(_cut(ordered, lengths, middle)) <= MICRO_BATCHES:
            high = middle
        else:
            low = middle + 1
    return _cut(ordered, lengths, low)


def _cut(ordered: Sequence[int], lengths: Sequence[int], padded_tokens: int) -> list[list[int]]:
    """Micro-batches of at most `padded_tokens` tokens; the longest sequence comes first in each."""
    batches: list[list[int]] = []
    for i in ordered:
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > padded_tokens:
            batches.append([])
        batches[-1].append(i)
    return batches


def _pad(sequences: Sequences, firsts: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Returns input_ids [B, L], flat positions [N] that predict a target, targets [N]."""
    length = max(len(s) for s in sequences)
    ids = np.zeros((len(sequences), length), dtype=np.int64)
    positions, targets = [], []
    for row, (sequence, first) in enumerate(zip(sequences, firsts, strict=True)):
        ids[row, : len(sequence)] = sequence
        positions.append(row * length + np.arange(first - 1, len(sequence) - 1))
        targets.append(np.asarray(sequence[first:], dtype=np.int64))
    return torch.from_numpy(ids), torch.from_numpy(np.concatenate(positions)), torch.from_numpy(np.concatenate(targets))


def _gradients(
    model: nn.Module, parameters: list[nn.Parameter], batch: tuple[Tensor, Tensor, Tensor], num_targets: int
) -> tuple[float, tuple[Tensor, ...]]:
    """The micro-batch's share of the step's mean loss, and its gradients; not in `.grad`, which the threads share."""
    ids, positions, targets = batch
    lm: Any = model
    hidden = lm.base_model(input_ids=ids, use_cache=False).last_hidden_state
    logits = lm.get_output_embeddings()(hidden.flatten(0, 1)[positions])
    loss = functional.cross_entropy(logits, targets, reduction="sum") / num_targets
    return loss.item(), torch.autograd.grad(loss, parameters)


def _check(sequences: Sequences, first_loss_index: Sequence[int]) -> None:
    if len(sequences) != len(first_loss_index):
        raise ValueError(f"{len(sequences)} sequences but {len(first_loss_index)} first_loss_index")
    for number, (sequence, first) in enumerate(zip(sequences, first_loss_index, strict=True)):
        if not 1 <= first < len(sequence):
            raise ValueError(f"sequence {number}: first_loss_index {first} is not within 1..{len(sequence) - 1}")
