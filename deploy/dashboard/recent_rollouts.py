"""Samples as Redis holds them (`broker/rollout_samples.py`) -> rollouts as the page shows them. Pure.

Text is passed on unchanged and untrusted: viewers must escape it. Runs of older versions wrote fewer fields; missing
ones are None.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import msgspec

from broker.reports import unix_s
from broker.rollout_samples import KEPT_SAMPLES, MAX_TEXT
from deploy.view.verdict_reason import verdict_reason

Entry = Mapping[str, str]
N = TypeVar("N", int, float)
SNIPPET = 240
"""Characters of the newest rollout that the overview shows."""


class Token(msgspec.Struct, frozen=True, array_like=True):
    text: str
    version: int | None
    logprob: float | None
    """nats, under the distribution it was sampled from."""
    ratio: float | None
    """pi / pi_behaviour in the step that trained it."""


class ShownRollout(msgspec.Struct, frozen=True):
    """One rollout, token by token."""

    id: str
    at_s: float
    problem: str
    arm: str
    verdict: str
    reason: str
    """Why it has this verdict."""
    answer: str | None
    """The gold answer."""
    claimed: list[str] | None
    """The answers that the response claims."""
    reward: float | None
    version: int
    group_id: int | None
    before: str
    """The prompt up to the guidance; all of it when there is none."""
    guidance: str
    after: str
    tokens: list[Token]
    rest: str
    """The text after the last token that is kept separately."""
    completion_tokens: int | None
    trained_step: int | None
    """Step whose ratios these are."""


class Headline(msgspec.Struct, frozen=True):
    """One rollout for the overview."""

    id: str
    problem: str
    arm: str
    verdict: str
    version: int
    at_s: float
    text: str


class RecentRollouts:
    """The newest samples and their ratios, as many as Redis keeps."""

    def __init__(self) -> None:
        self._samples: OrderedDict[str, Entry] = OrderedDict()
        self._ratios: OrderedDict[tuple[str, str], Entry] = OrderedDict()

    def add(self, samples: Iterable[Entry], ratios: Iterable[Entry]) -> None:
        self._samples.update({entry["id"]: entry for entry in samples})
        self._ratios.update({(entry["ordinal"], entry["index"]): entry for entry in ratios})
        while len(self._samples) > KEPT_SAMPLES:
            self._samples.popitem(last=False)
        while len(self._ratios) > KEPT_SAMPLES:
            self._ratios.popitem(last=False)

    def of(self, problem_id: str) -> list[ShownRollout]:
        """The rollouts of a problem, newest first."""
        mine = [entry for entry in reversed(self._samples.values()) if entry["problem"] == problem_id]
        return [self._rollout(entry) for entry in mine]

    def headlines(self, count: int) -> list[Headline]:
        """The newest rollouts of the run, newest first."""
        newest = list(reversed(self._samples.values()))[:count]
        return [
            Headline(
                id=entry["id"],
                problem=entry["problem"],
                arm=entry["arm"],
                verdict=entry["verdict"],
                version=int(entry["version"]),
                at_s=unix_s(entry["id"]),
                text=entry["completion"][:SNIPPET],
            )
            for entry in newest
        ]

    def _rollout(self, entry: Entry) -> ShownRollout:
        prompt, completion = entry["prompt"][:MAX_TEXT], entry["completion"][:MAX_TEXT]
        start, stop = _span(entry.get("guidance", ""), len(prompt))
        ratios = self._ratios.get((entry.get("ordinal", ""), entry.get("index", "")))
        tokens, rest = split_tokens(completion, entry, ratios)
        claimed = msgspec.json.decode(entry["claimed"], type=list[str]) if "claimed" in entry else None
        return ShownRollout(
            id=entry["id"],
            at_s=unix_s(entry["id"]),
            problem=entry["problem"],
            arm=entry["arm"],
            verdict=entry["verdict"],
            reason=verdict_reason(entry["verdict"], claimed, truncated=entry.get("finish") == "length"),
            answer=entry.get("answer"),
            claimed=claimed,
            reward=_number(entry.get("reward", "")),
            version=int(entry["version"]),
            group_id=int(entry["ordinal"]) if "ordinal" in entry else None,
            before=prompt[:start],
            guidance=prompt[start:stop],
            after=prompt[stop:],
            tokens=tokens,
            rest=rest,
            completion_tokens=int(entry["completion_tokens"]) if "completion_tokens" in entry else None,
            trained_step=int(ratios["step"]) if ratios else None,
        )


def split_tokens(completion: str, entry: Entry, ratios: Entry | None) -> tuple[list[Token], str]:
    """The completion token by token, and the rest of its text."""
    lengths = [int(word) for word in entry.get("token_chars", "").split()]
    logprobs = [float(word) for word in entry.get("logprobs", "").split()]
    new_over_old = [float(word) for word in ratios["ratios"].split()] if ratios else []
    versions = _versions(entry.get("spans", ""), len(lengths))
    tokens, start = [], 0
    for i, length in enumerate(lengths):
        text = completion[start : start + length]
        tokens.append(Token(text, _at(versions, i), _at(logprobs, i), _at(new_over_old, i)))
        start += length
    return tokens, completion[start:]


def _versions(spans: str, count: int) -> list[int]:
    """`0:41 118:42` -> the version of each of the first `count` tokens."""
    pairs = [(int(start), int(version)) for start, version in (word.split(":") for word in spans.split())]
    stops = [start for start, _ in pairs[1:]] + [count]
    versions: list[int] = []
    for (start, version), stop in zip(pairs, stops, strict=False):  # no spans: no versions
        versions += [version] * (min(stop, count) - min(start, count))
    return versions


def _span(text: str, end: int) -> tuple[int, int]:
    """`START:STOP`, or an empty span at the end."""
    start, colon, stop = text.partition(":")
    return (int(start), int(stop)) if colon else (end, end)


def _at(values: Sequence[N], i: int) -> N | None:
    return values[i] if i < len(values) else None


def _number(text: str) -> float | None:
    return float(text) if text else None
