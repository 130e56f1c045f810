"""Solve counts before and after training, and the guidance of the hard problems: the sampling stages of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from actors.evaluation.pass_at_k import pass_at_k
from actors.evaluation.results import Result
from actors.problems.prefix_search import ChosenPrefix
from broker.records import Problem


@dataclass(frozen=True)
class Measurement:
    """Results of the hard problems: when ("before", "sft", "after", "held_out") -> arm -> one result a problem."""

    results: dict[str, dict[str, list[Result]]]

    def pass_at_k(self, when: str, arm: str, ks: Sequence[int]) -> dict[str, float]:
        return mean_pass_at_k(self.results[when][arm], ks)

    def all(self, ks: Sequence[int]) -> dict[str, dict[str, dict[str, float]]]:
        """When -> arm -> pass@k, of all measurements."""
        return {when: {arm: self.pass_at_k(when, arm, ks) for arm in arms} for when, arms in self.results.items()}

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self.results), indent=1))

    @classmethod
    def load(cls, path: Path) -> "Measurement":
        if not path.exists():
            return cls({})
        return cls(msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, list[Result]]]))


def mean_pass_at_k(results: Sequence[Result], ks: Sequence[int]) -> dict[str, float]:
    """Mean over the problems with at least k judged samples: {"pass@1": ..., "pass@8": ...}, each 0 to 1."""
    values = {k: [pass_at_k(r.judged, r.successes, k) for r in results if r.judged >= k] for k in ks}
    return {f"pass@{k}": sum(v) / len(v) for k, v in values.items() if v}


def with_guidance(problems: Sequence[Problem], chosen: Sequence[ChosenPrefix]) -> list[Problem]:
    """The problems, each with its chosen prefix; problems without a search are unchanged."""
    prefixes = {choice.problem_id: choice.prefix for choice in chosen}
    return [msgspec.structs.replace(p, guidance=prefixes.get(p.id, p.guidance)) for p in problems]


def read_evaluations(path: Path) -> dict[int, list[Result]]:
    """Optimizer step of the evaluation -> one result per problem; incomplete evaluations are not listed."""
    return msgspec.json.decode(path.read_bytes(), type=dict[int, list[Result]]) if path.exists() else {}
