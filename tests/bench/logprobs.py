"""P5: the head in chunks against full logits: CPU time and peak memory of forward and backward.

    python -m tests.bench.logprobs KIND N V      one measurement, in a process of its own: memory peaks once

N positions of a model with a vocabulary of V, as `learner.token_head` computes them under the shipped settings, on one
thread. KIND is `chunked`; `recomputed`, the same when no gradient was expected; or `full`, what a plain implementation
does: all logits at once, log_softmax, gather, and the entropy.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from conf.load import load
from learner.model import as_policy
from tests.bench.measure import Measure, in_own_process, of_pairs

LARGE, SMALL = (2048, 151_936), (2048, 400)
"""(N, V)"""
HIDDEN = 256
PAIRS = 2
KINDS = ("full", "chunked")
LOGITS = 200_000_000
"""About so many are computed in a measurement; at least two passes, of which the fastest counts."""


def logprobs() -> list[Measure]:
    return [*_measures(*LARGE), *list(_measures(*SMALL))[:1]]


def _measures(num_positions: int, vocabulary: int) -> Iterator[Measure]:
    """Time and memory."""
    size = (str(num_positions), str(vocabulary))
    runs = [
        {kind: in_own_process("logprobs", kind, *size)[0] for kind in KINDS[:: 1 - 2 * (n % 2)]} for n in range(PAIRS)
    ]
    chunked, full = ([run[kind] for run in runs] for kind in ("chunked", "full"))
    shape = f"N = {num_positions:,}, V = {vocabulary:,}, H = {HIDDEN}"
    yield of_pairs(
        "P5", "log-probabilities in chunks / full logits: CPU seconds forward and backward",
        [a["s"] / b["s"] for a, b in zip(chunked, full, strict=True)], target="<= 1.1",
        detail=f"{chunked[0]['s']:.3g} s against {full[0]['s']:.3g} s, {shape}",
    )  # fmt: skip
    yield of_pairs(
        "P5", "log-probabilities in chunks / full logits: peak memory above the weights",
        [a["mib"] / b["mib"] for a, b in zip(chunked, full, strict=True)], target="<= 0.5",
        detail=f"{chunked[0]['mib']:,.0f} MiB against {full[0]['mib']:,.0f} MiB, {shape}",
    )  # fmt: skip


class _Sum:
    """What the sum of the log-probabilities lets the head expect."""

    units = None

    def __call__(self, tokens: slice, logprobs: Tensor, entropies: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(logprobs[tokens]), torch.zeros_like(entropies[tokens])


def one(kind: str, num_positions: int, vocabulary: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = Qwen3Config(
        vocab_size=vocabulary, hidden_size=HIDDEN, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, intermediate_size=64, tie_word_embeddings=True,
    )  # fmt: skip
    chunk = load(None, []).learner.logprob_chunk_tokens
    head = as_policy(Qwen3ForCausalLM(config), temperature=1.0, chunk_tokens=chunk).lm.get_output_embeddings()
    hidden = torch.randn(num_positions, HIDDEN, requires_grad=True)
    targets = torch.randint(0, vocabulary, (num_positions,))
    head.weight.grad = torch.zeros_like(head.weight)  # part of the weights' memory, not of the logits'
    expected = _Sum() if kind == "chunked" else None

    def work() -> None:
        values, _ = _full(hidden, targets, head.weight) if kind == "full" else head(hidden, targets, expected)
        values.sum().backward()

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    took_s = [_cpu_seconds(work) for _ in range(max(2, LOGITS // (num_positions * vocabulary)))]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"s": min(took_s), "mib": (peak - before) / 1024}))


def _cpu_seconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _full(hidden: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    log_all = torch.log_softmax(hidden @ weight.T, dim=-1)
    with torch.no_grad():
        entropy = -(log_all.exp() * log_all).sum(dim=-1)
    return log_all.gather(-1, targets.unsqueeze(-1)).squeeze(-1), entropy


if __name__ == "__main__":
    one(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
