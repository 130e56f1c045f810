"""The last part of the policy: from hidden states to the log-probabilities of given tokens."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import ModelOutput

from learner.logprobs import chunked_logprobs
from learner.unsupported_model import UnsupportedModel


class TokenHead(nn.Module):
    """Takes the place of a causal LM's head: hidden states and the tokens that followed -> log-probabilities, entropies.

    Its logits are those of the architecture: its own `forward` turns hidden states into logits, with whatever it does
    before and after the projection (scale, soft cap, bias); only its body is left out.
    The projection computes in float32 for any dtype of its weight; tied weights stay tied. All chunks are inside one
    module call: under ZeRO 3 a call is a collective, and ranks differ in the number of chunks of a row.
    """

    def __init__(self, lm: Any, *, temperature: float, chunk_tokens: int, entropy_gradient: bool = False) -> None:
        """Raises `UnsupportedModel` when the head is not a linear projection behind the base model."""
        super().__init__()
        head = _linear_head(lm)
        self.weight = head.weight
        self.bias = head.bias
        self._temperature, self._chunk_tokens = temperature, chunk_tokens
        self._entropy_gradient = entropy_gradient
        # Not a submodule: its parameters are those of `lm`, and DeepSpeed would gather them a second time.
        object.__setattr__(self, "_bodiless", _without_body(lm, _path(lm, head), _Projection(self)))

    def forward(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """hidden [N, H], targets [N] -> (logprobs [N], entropies [N]), float32, nats."""
        return chunked_logprobs(
            hidden,
            targets,
            self._logits,
            temperature=self._temperature,
            chunk_tokens=self._chunk_tokens,
            entropy_gradient=self._entropy_gradient,
        )

    def _logits(self, hidden: Tensor) -> Tensor:
        """hidden [n, H] -> float32 [n, V]."""
        lm: Any = self._bodiless
        ids = torch.zeros(1, len(hidden), dtype=torch.int64, device=hidden.device)  # of which only the shape matters
        with getattr(lm, lm.base_model_prefix).returning(hidden.float().unsqueeze(0)):
            return cast(Tensor, lm.forward(input_ids=ids, use_cache=False).logits[0].float())


class _Projection(nn.Module):
    """The head's linear map in float32. Not in a module tree, so that no hook of DeepSpeed is called for a chunk."""

    def __init__(self, head: TokenHead) -> None:
        super().__init__()
        object.__setattr__(self, "_head", head)

    @property
    def weight(self) -> Tensor:
        return cast(Tensor, self._head.weight).float()

    def forward(self, hidden: Tensor) -> Tensor:
        bias = cast(Tensor | None, self._head.bias)
        return functional.linear(hidden.float(), self.weight, None if bias is None else bias.float())


@dataclass
class _BodyOutput(ModelOutput):
    """What a base model returns, with nothing but hidden states."""

    last_hidden_state: Tensor | None = None

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class _Body(nn.Module):
    """Stands in for a base model, and for the parts of one that an architecture calls: returns given hidden states."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self._parts = {name for name, _ in body.named_children()}
        self._hidden: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        return self if name in self.__dict__["_parts"] else super().__getattr__(name)

    @contextmanager
    def returning(self, hidden: Tensor) -> Iterator[None]:
        self._hidden = hidden
        yield
        self._hidden = None  # it would keep the graph of the row alive

    def forward(self, *_: Any, **__: Any) -> _BodyOutput:
        return _BodyOutput(last_hidden_state=self._hidden)


def parameters_beside_the_head(lm: Any) -> list[str]:
    """Names of the parameters between the base model and the logits, other than those of the head."""
    head = lm.get_output_embeddings()
    known = {id(p) for p in (*lm.base_model.parameters(), *head.parameters())}
    return [name for name, parameter in lm.named_parameters() if id(parameter) not in known]


def _linear_head(lm: Any) -> nn.Linear:
    head = lm.get_output_embeddings()
    if not isinstance(head, nn.Linear) or type(head).forward is not nn.Linear.forward:
        raise UnsupportedModel(f"{type(lm).__name__}: the head is a {type(head).__name__}, not a linear projection")
    if lm.base_model is lm:
        raise UnsupportedModel(f"{type(lm).__name__} has no base model apart from its head")
    return head


def _path(lm: nn.Module, module: nn.Module) -> str:
    return next(name for name, other in lm.named_modules() if other is module)


def _without_body(lm: Any, head_path: str, projection: nn.Module) -> nn.Module:
    """A copy that shares everything with `lm` but its base model and its head."""
    return _replaced(_replaced(lm, head_path, projection), lm.base_model_prefix, _Body(lm.base_model))


def _replaced(module: nn.Module, path: str, new: nn.Module) -> nn.Module:
    """A copy of `module` with another submodule at `path`; all others are shared, and so are parameters and buffers."""
    name, _, rest = path.partition(".")
    clone = copy.copy(module)
    clone._modules = dict(module._modules)
    clone._modules[name] = _replaced(cast(nn.Module, module._modules[name]), rest, new) if rest else new
    return clone
