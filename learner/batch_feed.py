"""Packs the groups of a step into rows for each rank. Pure and deterministic: every rank computes its own rows.

Rows are packed with bundles. A bundle is a prompt with some of its rollouts; without packing a row is one bundle, a
prompt with one rollout. A rollout without a reward (its verifier
failed) is left out: it carries no loss.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from broker.records import Rollout, TrainGroup, float32_array, int32_array
from broker.weights import lag
from learner.attention.layout import Layout
from learner.packing import deal, fill, pack, separate


@dataclass(frozen=True)
class Row:
    """One packed row of T tokens, N of which are trained. Prompts carry no loss."""

    input_ids: Tensor
    """int64 [1, T]"""
    position_ids: Tensor
    """int64 [1, T]: from 0 in each prompt; every rollout continues where its prompt ends."""
    layout: Layout
    positions: Tensor
    """int64 [N]: position in the row whose hidden state predicts the token; for the first token of a rollout, the last
    position of its prompt."""
    targets: Tensor
    """int64 [N]: the sampled tokens."""
    behaviour_logprobs: Tensor
    """float32 [N], nats: under the engine that sampled the token; 0 in an off-policy rollout, which was not sampled."""
    advantages: Tensor
    """float32 [N]: advantage of the token's rollout."""
    weights: Tensor
    """float32 [N]: 1; 0 in a filler row."""
    sequences: Tensor
    """int64 [N]: number of the token's rollout in the row, from 0. Rollouts are never cut."""
    off_policy: Tensor
    """bool [N]: the token belongs to an oracle solution and was not sampled from the policy."""
    versions: Tensor
    """int64 [N]: the policy version that sampled the token; 0 in an off-policy rollout."""
    reference_logprobs: Tensor | None
    """float32 [N], nats: under the frozen reference; None when preprocessing computed none."""
    rollouts: tuple[tuple[int, int], ...] = ()
    """(group id, index in the group) of each rollout, by its number in the row; empty in a filler row."""

    def to(self, device: torch.device) -> "Row":
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), Tensor)}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})


@dataclass(frozen=True)
class StepBatch:
    """The rows of one rank in one step, and the totals of the step."""

    rows: list[Row]
    """This rank's rows; every rank has the same number of them."""
    num_tokens: int
    """Trained tokens of the step, over all ranks; those of groups that are not in the rows, too."""
    num_sequences: int
    """Trained rollouts of the step, likewise."""
    packing_fill: float
    """Share of the row tokens in use, over all ranks; 1 when each row is one sequence, as long as that."""


@dataclass(frozen=True)
class _Bundle:
    group: TrainGroup
    indices: tuple[int, ...]
    """Indices of the group's rollouts in the bundle."""

    @property
    def num_tokens(self) -> int:
        group = self.group.rollout_group
        return group.num_prompt_tokens + sum(group.rollouts[i].num_tokens for i in self.indices)


def build_step(
    groups: Sequence[TrainGroup],
    *,
    row_tokens: int,
    rank: int,
    world_size: int,
    packing: Literal["on", "off"] = "on",
    needed: Callable[[TrainGroup], bool] = lambda group: True,
) -> StepBatch:
    """The rows of `rank`. `packing` off: a row for each rollout with its prompt.

    Only the `needed` groups are in the rows; the others count in the totals, by which the loss is divided.
    Raises ValueError when a sample is longer than a row.
    """
    bundles = [bundle for group in groups if needed(group) for bundle in _bundles(group, row_tokens, packing)]
    lengths = [bundle.num_tokens for bundle in bundles]
    # A small step gets shorter rows, so that every rank has work.
    room = min(row_tokens, max([-(-sum(lengths) // world_size), *lengths]))
    rows = pack(lengths, room) if packing == "on" else separate(lengths, row_tokens)
    mine = deal(rows, world_size)[rank]
    return StepBatch(
        rows=[_row([bundles[i] for i in numbers]) if numbers else filler_row() for numbers in mine],
        num_tokens=sum(rollout.num_tokens for group in groups for rollout in _trained(group)),
        num_sequences=sum(len(_trained(group)) for group in groups),
        packing_fill=fill(lengths, len(rows), room) if packing == "on" else 1.0,
    )


def token_lags(groups: Sequence[TrainGroup], step: int) -> np.ndarray:
    """int32 [tokens]: lag of every trained token sampled by the policy; step s updates version s - 1."""
    versions = [
        rollout.token_versions()
        for group in groups
        for rollout in group.rollout_group.policy_rollouts
        if rollout.reward is not None
    ]
    return lag(step - 1, np.concatenate(versions)) if versions else np.zeros(0, dtype=np.int32)


def filler_row() -> Row:
    """Two tokens of weight 0, for a rank without a row: it must take part in every collective."""
    zeros = torch.zeros(1)
    return Row(
        input_ids=torch.zeros((1, 2), dtype=torch.int64),
        position_ids=torch.tensor([[0, 1]]),
        layout=((1, (1,)),),
        positions=torch.zeros(1, dtype=torch.int64),
        targets=torch.zeros(1, dtype=torch.int64),
        behaviour_logprobs=zeros,
        advantages=zeros,
        weights=zeros,
        sequences=torch.zeros(1, dtype=torch.int64),
        off_policy=torch.zeros(1, dtype=torch.bool),
        versions=torch.zeros(1, dtype=torch.int64),
        reference_logprobs=zeros,
    )


def _trained(group: TrainGroup) -> list[Rollout]:
    """The rollouts with a reward."""
    return [group.rollout_group.rollouts[i] for i in np.flatnonzero(group.loss_weights()).tolist()]


def _bundles(group: TrainGroup, row_tokens: int, packing: Literal["on", "off"]) -> list[_Bundle]:
    """The group's trained rollouts in order: in one bundle, in several if that would be longer than a row, or one each
    without packing."""
    bundles: list[_Bundle] = []
    indices: list[int] = []
    for i in np.flatnonzero(group.loss_weights()).tolist():
        if indices and (packing == "off" or _Bundle(group, (*indices, i)).num_tokens > row_tokens):
            bundles.append(_Bundle(group, tuple(indices)))
            indices = []
        indices.append(i)
    return [*bundles, _Bundle(group, tuple(indices))] if indices else bundles


def _row(bundles: Sequence[_Bundle]) -> Row:
    ids, position_ids, layout = [], [], []
    positions, targets, behaviour, advantages = [], [], [], []
    off_policy, versions, reference, rollouts = [], [], [], []
    start = 0
    for bundle in bundles:
        group = bundle.group.rollout_group
        prompt = int32_array(group.prompt_ids)
        prompt_end = start + len(prompt)
        ids.append(prompt)
        position_ids.append(np.arange(len(prompt)))
        start = prompt_end
        group_advantages = float32_array(bundle.group.advantages)
        for i in bundle.indices:
            rollout = group.rollouts[i]
            tokens = int32_array(rollout.token_ids)
            ids.append(tokens)
            position_ids.append(np.arange(len(prompt), len(prompt) + len(tokens)))
            positions.append(np.concatenate([[prompt_end - 1], np.arange(start, start + len(tokens) - 1)]))
            targets.append(tokens)
            off_policy.append(rollout.off_policy)
            behaviour.append(np.zeros(len(tokens)) if rollout.off_policy else float32_array(rollout.logprobs))
            versions.append(np.zeros(len(tokens)) if rollout.off_policy else rollout.token_versions())
            if bundle.group.reference_logprobs is not None:
                reference.append(float32_array(bundle.group.reference_logprobs[i]))
            advantages.append(np.full(len(tokens), group_advantages[i], dtype=np.float32))
            rollouts.append((group.group_id, i))
            start += len(tokens)
        layout.append((len(prompt), tuple(group.rollouts[i].num_tokens for i in bundle.indices)))
    lengths = list(map(len, targets))
    return Row(
        input_ids=_tensor(ids, np.int64).unsqueeze(0),
        position_ids=_tensor(position_ids, np.int64).unsqueeze(0),
        layout=tuple(layout),
        positions=_tensor(positions, np.int64),
        targets=_tensor(targets, np.int64),
        behaviour_logprobs=_tensor(behaviour, np.float32),
        advantages=_tensor(advantages, np.float32),
        weights=torch.ones(sum(lengths)),
        sequences=torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)),
        off_policy=torch.from_numpy(np.repeat(off_policy, lengths)),
        versions=_tensor(versions, np.int64),
        reference_logprobs=_tensor(reference, np.float32) if len(reference) == len(lengths) else None,
        rollouts=tuple(rollouts),
    )


def _tensor(parts: Sequence[np.ndarray], dtype: type) -> Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(dtype))
