"""Results of an evaluation: one `Result` for each problem, and the statistics of a problem set. Pure.

A sample whose verifier failed (`timeout`, `crash`) is not an attempt: n counts only judged samples. pass@k is unbiased
if these failures are independent of correctness. `verdicts` still counts them. A sample without an answer, or with one
that cannot be parsed, is judged and not correct.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

from actors.evaluation.pass_at_k import RESAMPLES, bootstrap_mean, pass_at_k
from broker.records import Record, Rollout, Verdict
from conf.schema import Sampling

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
_UNJUDGED: tuple[Verdict, ...] = ("timeout", "crash")


class Result(Record, frozen=True, rename={"policy_version": "weight_version"}):
    """Counts over the samples of one problem."""

    problem_id: str
    source: str
    """Name of the problem set, such as `AIME25`."""
    samples: int
    verdicts: dict[Verdict, int]
    """Samples by verdict; they sum to `samples`. A verdict without samples may be missing."""
    truncated: int
    """Samples cut by the token budget."""
    completion_tokens: int
    """Sum over all samples."""
    longest_completion_tokens: int
    policy_version: int
    """The oldest policy version among the samples."""
    unfinished: int = 0
    """Samples cut by the token budget, judged and not correct; with more tokens they might be correct."""

    def __post_init__(self) -> None:
        if self.samples < 1 or min(self.verdicts.values(), default=0) < 0:
            raise ValueError(f"{self.problem_id}: a result needs at least one sample and no negative count")
        if sum(self.verdicts.values()) != self.samples:
            raise ValueError(f"{self.problem_id}: {self.samples} samples, but verdicts {self.verdicts}")
        if not 0 <= self.unfinished <= self.truncated <= self.samples:
            counts = f"{self.unfinished} unfinished of {self.truncated} truncated of {self.samples} samples"
            raise ValueError(f"{self.problem_id}: {counts}")

    @property
    def judged(self) -> int:
        """Samples whose verifier returned a verdict."""
        return self.samples - sum(self.verdicts.get(verdict, 0) for verdict in _UNJUDGED)

    @property
    def evidence(self) -> int:
        """Samples from which the solve rate can be estimated: judged, and not `unfinished`."""
        return self.judged - self.unfinished

    @property
    def successes(self) -> int:
        return self.verdicts.get("correct", 0)


class Score(Record, frozen=True):
    """Mean pass@k over the problems of one set."""

    k: int
    value: float | None
    """In [0, 1]; None when no problem has k judged samples."""
    lower: float | None
    """`lower`, `upper`: interval for the population mean (`bootstrap_mean`); None if `value` is None."""
    upper: float | None
    problems: int
    """Problems with at least k judged samples; the mean is over these."""


class SetReport(Record, frozen=True):
    """Results of one checkpoint on one problem set."""

    name: str
    scores: tuple[Score, ...]
    """One for each requested k, in the requested order."""
    samples: int
    truncated: int
    """Samples cut by the token budget."""
    verdicts: dict[Verdict, int]
    """Samples by verdict, for every verdict, in the order of `VERDICTS`."""
    completion_tokens: int
    longest_completion_tokens: int
    results: tuple[Result, ...]
    """Sorted by problem id."""

    def score(self, k: int) -> Score | None:
        """The score at k; None when this k was not requested."""
        return next((score for score in self.scores if score.k == k), None)


class EvaluationReport(Record, frozen=True):
    """Results of one checkpoint: one row of the table."""

    label: str
    confidence: float
    """Confidence level of all intervals."""
    resamples: int
    seed: int
    sets: tuple[SetReport, ...]
    sampling: Sampling | None = None
    """How all samples were drawn; None in a file of a version that did not record it."""


def result_of(problem_id: str, source: str, rollouts: Sequence[Rollout]) -> Result:
    """Counts the rollouts of one problem. Raises ValueError when there are none."""
    tokens = [rollout.num_tokens for rollout in rollouts]
    return Result(
        problem_id=problem_id,
        source=source,
        samples=len(rollouts),
        verdicts=dict(Counter(rollout.verdict for rollout in rollouts)),
        truncated=sum(rollout.finish_reason == "length" for rollout in rollouts),
        completion_tokens=sum(tokens),
        longest_completion_tokens=max(tokens, default=0),
        policy_version=min((rollout.oldest_version for rollout in rollouts), default=0),
        unfinished=sum(
            rollout.finish_reason == "length" and rollout.verdict not in ("correct", *_UNJUDGED) for rollout in rollouts
        ),
    )


def merge(results: Sequence[Result]) -> Result:
    """Adds up results of one problem. Raises ValueError when they are of different problems or sets."""
    first = results[0]
    if any((result.problem_id, result.source) != (first.problem_id, first.source) for result in results):
        raise ValueError(f"results of different problems: {sorted({result.problem_id for result in results})}")
    verdicts = Counter[Verdict]()
    for result in results:
        verdicts.update(result.verdicts)
    return Result(
        problem_id=first.problem_id,
        source=first.source,
        samples=sum(result.samples for result in results),
        verdicts=dict(verdicts),
        truncated=sum(result.truncated for result in results),
        completion_tokens=sum(result.completion_tokens for result in results),
        longest_completion_tokens=max(result.longest_completion_tokens for result in results),
        policy_version=min(result.policy_version for result in results),
        unfinished=sum(result.unfinished for result in results),
    )


def evaluation_report(
    results_by_set: Mapping[str, Sequence[Result]],
    ks: Sequence[int],
    label: str,
    *,
    sampling: Sampling | None = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> EvaluationReport:
    """Statistics of one checkpoint for each set, in the given order. `label`: name of the row.

    Raises ValueError when a set is empty or has a problem twice or a result of another set, and when a k is below 1
    or repeated.
    """
    if not ks or min(ks) < 1 or len(set(ks)) != len(ks):
        raise ValueError(f"ks must be different whole numbers from 1, got {list(ks)}")
    sets = []
    for name, results in results_by_set.items():
        _check_set(name, results)
        # Sorted, so that resampling does not depend on the order of the problems.
        ordered = tuple(sorted(results, key=lambda result: result.problem_id))
        verdicts = Counter[Verdict]()
        for result in ordered:
            verdicts.update(result.verdicts)
        sets.append(
            SetReport(
                name=name,
                scores=tuple(_score(ordered, k, confidence, resamples, seed) for k in ks),
                samples=sum(result.samples for result in ordered),
                truncated=sum(result.truncated for result in ordered),
                verdicts={verdict: verdicts[verdict] for verdict in VERDICTS},
                completion_tokens=sum(result.completion_tokens for result in ordered),
                longest_completion_tokens=max(result.longest_completion_tokens for result in ordered),
                results=ordered,
            )
        )
    return EvaluationReport(
        label=label, confidence=confidence, resamples=resamples, seed=seed, sets=tuple(sets), sampling=sampling
    )


def _check_set(name: str, results: Sequence[Result]) -> None:
    if not results:
        raise ValueError(f"the problem set {name} has no results")
    others = {result.source for result in results} - {name}
    if others:
        raise ValueError(f"the problem set {name} holds results of {', '.join(sorted(others))}")
    twice = [problem for problem, count in Counter(result.problem_id for result in results).items() if count > 1]
    if twice:
        raise ValueError(f"the problem set {name} holds {twice[0]} twice")


def _score(results: Sequence[Result], k: int, confidence: float, resamples: int, seed: int) -> Score:
    values = [pass_at_k(result.judged, result.successes, k) for result in results if result.judged >= k]
    if not values:
        return Score(k=k, value=None, lower=None, upper=None, problems=0)
    interval = bootstrap_mean(values, confidence=confidence, resamples=resamples, seed=seed)
    mean = sum(values) / len(values)
    return Score(k=k, value=mean, lower=interval.lower, upper=interval.upper, problems=len(values))
