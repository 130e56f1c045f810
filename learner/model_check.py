"""Are the learner's log-probabilities those of the model itself? Compared before a run samples anything.

The model's own forward pass over one text at a time is the reference, with the plain attention of transformers
(`eager`) and its own head. Rows as the learner trains them must give the same numbers. This needs no list of
architectures: what one does to positions, masks or logits that the learner does not do shows as a difference.

Both sides compute in float32, where rounding is far below any other difference. A model that is trained in bfloat16 is
then compared once more in that precision, with a bound that allows for rounding.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from broker.errors import PopeError
from broker.records import Rollout, RolloutGroup, TrainGroup, float32_bytes, int32_bytes
from conf.schema import LearnerSettings
from learner.batch_feed import build_step
from learner.model import Policy, as_policy, load_lm
from learner.token_head import parameters_after_the_body
from learner.unsupported_model import UNPACKED, CannotPack, UnsupportedModel

FLOAT32_BOUND = 1e-4
"""Largest root mean square difference in float32, nats. Measured on a CPU: at most 3e-6 (95 tiny random architectures,
a random model of 24 layers, the built-in model)."""
CONTEXT_SHARE = 0.01
"""Where that is less, the bound is this share of what another prompt changes: a model of flat logits hides a fault."""
ROUNDING = 1e-5
"""Smallest bound in float32, nats."""
BFLOAT16_BOUND = 0.3
"""Largest root mean square difference of a bfloat16 policy from the float32 model, nats. Measured on a CPU: 0.002 to
0.06 (random models of 6 to 24 layers, dense and mixtures of experts), about 1 % of what another prompt changes."""
TEXTS = ((5, (7, 6)), (11, (1, 9, 4)), (3, (12,)))
"""Tokens of the prompts and of their rollouts."""
FILLER = (120, (8,))
"""Texts in the form of `TEXTS` that fill the row up to learner.row_tokens: a fault may depend on the place in a row."""
FILLER_FLOP = {"cpu": 2e9, "cuda": 2e14}
"""What the filled row may cost by device, floating-point operations; a second or two."""
LONGEST_WINDOW = 1024
"""A sliding window or chunk of at most this many tokens is exceeded by one more text."""


class ModelMismatch(PopeError):
    """The learner computes other probabilities than the model. The message holds the numbers and the remedy."""

    final = True


@dataclass(frozen=True)
class ModelAgreement:
    """How well learner and model agree, in nats."""

    architecture: str
    num_tokens: int
    max_difference: float
    rms_difference: float
    """Root mean square over the compared tokens, in float32."""
    bound: float
    """Of `rms_difference`."""


@dataclass(frozen=True)
class _Text:
    """A prompt, a rollout, and what the model itself says of them."""

    prompt: Tensor
    rollout: Tensor
    targets: Tensor
    """int64 [tokens of the rollout]: drawn from the model's distribution at each position."""
    logprobs: Tensor
    """float32 [tokens of the rollout], nats: of `targets`."""
    without_prompt: Tensor
    """The same under another prompt."""


def check_model(
    path: Path, *, dtype: torch.dtype, settings: LearnerSettings, temperature: float, device: str
) -> ModelAgreement:
    """Loads the model and compares the learner's log-probabilities with its own.

    `dtype`, `device`: `model.dtype`, `deploy.device`. Takes memory for the weights in float32.
    Raises `ModelMismatch` beyond the bound, `UnsupportedModel` for what is known not to work.
    """
    lm = load_lm(path, dtype=torch.float32, attention="eager")
    return check_lm(lm.to(torch.device(device)), dtype=dtype, settings=settings, temperature=temperature)


def check_lm(lm: Any, *, dtype: torch.dtype, settings: LearnerSettings, temperature: float) -> ModelAgreement:
    """`check_model` of a float32 model with `eager` attention, which is turned into a policy of `dtype` in place."""
    architecture = type(lm).__name__
    if settings.zero_stage == 3 and (names := parameters_after_the_body(lm)):
        raise UnsupportedModel(
            f"{architecture} has parameters between its base model and its head ({names[0]}), which ZeRO 3 cannot "
            f"gather in chunks; set learner.zero_stage=2"
        )
    lm.eval()
    _refuse_non_causal(lm)
    texts = _texts(lm, temperature, (*TEXTS, *_beyond_windows(lm.config, settings.row_tokens), *_fillers(lm, settings)))
    policy = as_policy(
        lm,
        temperature=temperature,
        chunk_tokens=settings.logprob_chunk_tokens,
        packing=settings.packing,
        attention=settings.attention,
    )
    bound = max(ROUNDING, min(FLOAT32_BOUND, CONTEXT_SHARE * _context_effect(texts)))
    agreement = _compare(policy, texts, settings, bound, "float32")
    if dtype != torch.float32:
        for parameter in policy.parameters():
            parameter.data = parameter.data.to(dtype)
        _compare(policy, texts[: len(TEXTS)], settings, BFLOAT16_BOUND, str(dtype).removeprefix("torch."))
    return agreement


@torch.no_grad()
def _refuse_non_causal(lm: Any) -> None:
    """Raises `UnsupportedModel` if the distribution of a token depends on later tokens."""
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(_vocabulary(lm), (2, 1, 12), generator=generator)
    ids[1, 0, :6] = ids[0, 0, :6]
    one, other = (_plain_logits(lm, text)[:6] for text in ids)
    if (one - other).abs().max() > FLOAT32_BOUND * max(1.0, float(one.abs().max())):
        raise UnsupportedModel(f"{type(lm).__name__} is no causal language model: its tokens attend to later tokens")


def _vocabulary(lm: Any) -> int:
    return int(lm.get_input_embeddings().weight.shape[0])


def _plain_logits(lm: Any, ids: Tensor) -> Tensor:
    """The model's own forward pass. ids [1, T] -> float32 [T, V] on the CPU."""
    with _naming_errors(type(lm).__name__, packing="off"):
        return cast(Tensor, lm(input_ids=ids.to(lm.device), use_cache=False).logits[0].float().cpu())


@torch.no_grad()
def _texts(lm: Any, temperature: float, sizes: Sequence[tuple[int, tuple[int, ...]]]) -> list[list[_Text]]:
    """Random texts of these sizes, in the form of `TEXTS`; one list for each prompt."""
    generator = torch.Generator().manual_seed(0)

    def draw(tokens: int) -> Tensor:
        return torch.randint(_vocabulary(lm), (tokens,), generator=generator)

    def logprobs(prompt: Tensor, rollout: Tensor) -> Tensor:
        logits = _plain_logits(lm, torch.cat([prompt, rollout])[None])[len(prompt) - 1 : -1]
        if not logits.isfinite().all():
            raise UnsupportedModel(f"{type(lm).__name__} cannot be trained: its own log-probabilities are not finite")
        return torch.log_softmax(logits / temperature, dim=-1)

    texts: list[list[_Text]] = []
    for prompt_tokens, rollouts in sizes:
        prompt, other = draw(prompt_tokens), draw(prompt_tokens)
        texts.append([])
        for tokens in rollouts:
            rollout = draw(tokens)
            plain = logprobs(prompt, rollout)
            targets = torch.multinomial(plain.exp(), 1, generator=generator)
            texts[-1].append(
                _Text(
                    prompt,
                    rollout,
                    targets[:, 0],
                    plain.gather(1, targets)[:, 0],
                    logprobs(other, rollout).gather(1, targets)[:, 0],
                )
            )
    return texts


def _beyond_windows(config: Any, row_tokens: int) -> list[tuple[int, tuple[int, ...]]]:
    """Texts that are longer than the windows of a model, in the form of `TEXTS`."""
    text = config.get_text_config()
    windows = {getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size", "local_attention")}
    largest = min(LONGEST_WINDOW, row_tokens // 2)
    return [(window // 2 + 1, (window, 8)) for window in windows if isinstance(window, int) and 1 < window <= largest]


def _fillers(lm: Any, settings: LearnerSettings) -> list[tuple[int, tuple[int, ...]]]:
    """Texts for a row of `learner.row_tokens`, or of as many tokens as take little time; none without packing."""
    parameters = sum(parameter.numel() for parameter in lm.parameters())
    affordable = int(FILLER_FLOP[lm.device.type] / (6 * parameters))  # three passes of 2 operations a parameter
    prompt, rollouts = FILLER
    longest = getattr(lm.config.get_text_config(), "max_position_embeddings", None)
    if settings.packing == "off" or (longest and longest < prompt + max(rollouts)):
        return []
    return [FILLER] * (min(settings.row_tokens, affordable) // (prompt + sum(rollouts)))


def _context_effect(texts: Sequence[Sequence[_Text]]) -> float:
    """Root mean square of what another prompt changes in the log-probability of a token."""
    return _rms(torch.cat([text.logprobs - text.without_prompt for group in texts for text in group]))


def _compare(
    policy: Policy, texts: Sequence[Sequence[_Text]], settings: LearnerSettings, bound: float, precision: str
) -> ModelAgreement:
    difference = _differences(policy, texts, settings)
    architecture = type(policy.lm).__name__
    found = ModelAgreement(architecture, len(difference), float(difference.abs().max()), _rms(difference), bound)
    if found.rms_difference <= bound:  # false for NaN
        return found
    causes = {
        "on": f"tokens attend across samples, positions are not honoured, or the logits are changed; {UNPACKED}",
        "off": "the logits are changed behind the head, or they depend on how a text is computed; use another model",
    }
    raise ModelMismatch(
        f"{architecture}: the learner's log-probabilities are not those of the model itself: root mean square "
        f"{found.rms_difference:.2g} nats over {found.num_tokens} tokens, at most {found.max_difference:.2g}; bound "
        f"{bound:.2g} in {precision}. Likely: {causes[settings.packing]}"
    )


@torch.no_grad()
def _differences(policy: Policy, texts: Sequence[Sequence[_Text]], settings: LearnerSettings) -> Tensor:
    """Learner minus model, nats, of every token."""
    groups = [_group(number, group) for number, group in enumerate(texts)]
    total = sum(len(group[0].prompt) + sum(len(text.rollout) for text in group) for group in texts)
    device = next(policy.parameters()).device
    differences = []
    for row in build_step(groups, row_tokens=total, rank=0, world_size=1, packing=settings.packing).rows:
        row = row.to(device)
        in_row = [texts[group][i] for group, i in row.rollouts]
        targets = torch.cat([text.targets for text in in_row])
        with _naming_errors(type(policy.lm).__name__, policy.packing):
            logprobs, _ = policy(row.input_ids, row.position_ids, row.layout, row.positions, targets.to(device))
        differences.append(logprobs.float().cpu() - torch.cat([text.logprobs for text in in_row]))
    return torch.cat(differences)


@contextmanager
def _naming_errors(architecture: str, packing: str) -> Iterator[None]:
    """Whatever the code of an architecture raises about a row becomes an error with a remedy."""
    try:
        yield
    except (PopeError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        reason = f"its forward pass fails with {type(error).__name__}: {first}"
        if packing == "on":
            raise CannotPack(architecture, reason) from error
        raise UnsupportedModel(f"{architecture} cannot be trained: {reason}") from error


def _group(number: int, texts: Sequence[_Text]) -> TrainGroup:
    """The texts of one prompt, in the form that `batch_feed` packs."""
    rollouts = tuple(
        Rollout(
            token_ids=int32_bytes(text.rollout.numpy()),
            logprobs=float32_bytes(text.logprobs.numpy()),
            version_spans=((0, 0),),
            finish_reason="stop",
            verdict="correct",
            reward=1.0,
        )
        for text in texts
    )
    group = RolloutGroup(
        group_id=number,
        problem_id="check",
        arm="unguided",
        bucket="hard",
        actor="check",
        prompt_ids=int32_bytes(texts[0].prompt.numpy()),
        rollouts=rollouts,
    )
    return TrainGroup(rollout_group=group, advantages=float32_bytes([1.0] * len(rollouts)))


def _rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())
