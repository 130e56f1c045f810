"""The last part of the policy: from hidden states to the log-probabilities of given tokens."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from learner.float32_product import float32_product
from learner.logprobs import ExpectedGradient, chunked_logprobs
from learner.unsupported_model import UnsupportedModel


class TokenHead(nn.Module):
    """In place of a causal LM's head: hidden states and the tokens that followed -> log-probabilities and entropies.

    Its logits are those of the architecture: its own `forward` turns hidden states into logits, with whatever it does
    before and after the projection (scale, soft cap, bias); only its body is left out.
    Its logits are float32 for any dtype of its weight (`learner/float32_product.py`); tied weights stay tied. All
    chunks are inside one module call: under ZeRO 3 a call is a collective, and ranks differ in the number of chunks of
    a row.
    """

    def __init__(self, lm: Any, *, temperature: float, chunk_tokens: int, entropy_gradient: bool = False) -> None:
        """Raises `UnsupportedModel` when the head is not a linear projection behind the base model."""
        super().__init__()
        head = _linear_head(lm)
        self.weight = head.weight
        self.bias = head.bias
        self._temperature, self._chunk_tokens = temperature, chunk_tokens
        self._entropy_gradient = entropy_gradient
        others = [lm.get_parameter(name) for name in parameters_after_the_body(lm)]
        body = _Body(body_of(lm))
        without_head = _replaced(lm, _path(lm, head), _Projection(self))
        # In tuples: not submodules. Their parameters are those of `lm`, and DeepSpeed would gather them twice.
        self._parts = (_replaced(without_head, body_name(lm), body), body)
        self._others = tuple(others)

    def forward(
        self, hidden: Tensor, targets: Tensor, expected: ExpectedGradient | None = None
    ) -> tuple[Tensor, Tensor]:
        """hidden [N, H], targets [N] -> (logprobs [N], entropies [N]), float32, nats. `expected`: see `logprobs.py`."""
        return chunked_logprobs(
            hidden,
            targets,
            self._logits,
            [self.weight, *([] if self.bias is None else [self.bias]), *self._others],
            temperature=self._temperature,
            chunk_tokens=self._chunk_tokens,
            entropy_gradient=self._entropy_gradient,
            expected=expected,
        )

    def _logits(self, hidden: Tensor) -> Tensor:
        """hidden [n, H] -> float32 [n, V]."""
        lm, body = self._parts
        ids = torch.zeros(1, len(hidden), dtype=torch.int64, device=hidden.device)  # of which only the shape matters
        with body.returning(hidden.float().unsqueeze(0)):
            return cast(Tensor, lm.forward(input_ids=ids, use_cache=False).logits[0].float())


class _Projection(nn.Module):
    """The head's linear map. Not in a module tree, so that no hook of DeepSpeed is called for a chunk."""

    def __init__(self, head: TokenHead) -> None:
        super().__init__()
        self._head = (head,)  # in a tuple: not a submodule

    @property
    def weight(self) -> Tensor:
        return self._head[0].weight.float()

    def forward(self, hidden: Tensor) -> Tensor:
        bias = self._head[0].bias
        logits = float32_product(hidden, self._head[0].weight)
        return logits if bias is None else logits + bias.float()


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
        object.__setattr__(self, "_body", body)
        self._hidden: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__dict__["_body"], name)
        return self if isinstance(value, nn.Module) else value

    @contextmanager
    def returning(self, hidden: Tensor) -> Iterator[None]:
        self._hidden = hidden
        yield
        self._hidden = None  # it would keep the graph of the row alive

    def forward(self, *_: Any, **__: Any) -> _BodyOutput:
        return _BodyOutput(last_hidden_state=self._hidden)


def body_name(lm: Any) -> str:
    """Name of the base model in a causal LM: the part that holds the embeddings of the tokens."""
    embeddings = lm.get_input_embeddings()
    for name, child in lm.named_children():
        if child is not embeddings and any(module is embeddings for module in child.modules()):
            return str(name)
    raise UnsupportedModel(f"{type(lm).__name__} has no base model apart from its head")


def body_of(lm: Any) -> Any:
    """The base model: token ids -> hidden states."""
    return getattr(lm, body_name(lm))


def parameters_after_the_body(lm: Any) -> list[str]:
    """Names of the parameters between the base model and the logits, other than those of the head."""
    head = lm.get_output_embeddings()
    known = {id(p) for p in (*body_of(lm).parameters(), *head.parameters())}
    return [name for name, parameter in lm.named_parameters() if id(parameter) not in known]


def _linear_head(lm: Any) -> nn.Linear:
    head = lm.get_output_embeddings()
    if not isinstance(head, nn.Linear) or type(head).forward is not nn.Linear.forward:
        raise UnsupportedModel(f"{type(lm).__name__}: the head is a {type(head).__name__}, not a linear projection")
    return head


def _path(lm: nn.Module, module: nn.Module) -> str:
    return next(str(name) for name, other in lm.named_modules() if other is module)


def _replaced(module: Any, path: str, new: nn.Module) -> Any:
    """A copy of `module` with another submodule at `path`; all others are shared, and so are parameters and buffers."""
    name, _, rest = path.partition(".")
    clone = copy.copy(module)
    clone._modules = dict(module._modules)
    clone._modules[name] = _replaced(module._modules[name], rest, new) if rest else new
    return clone
