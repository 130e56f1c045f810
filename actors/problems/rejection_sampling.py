"""Rejection sampling of SFT data: samples the base model with guidance until enough responses are correct.

"SFT on the prefix of the oracle solution followed by a successful on-policy completion obtained via rejection sampling
from the base model" (POPE section 6). `RejectionSampling` plans the samples and counts the correct ones.
`DemonstrationPool` turns the usable responses into demonstrations, and determines which problems need more samples
because correct responses could not be used.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.evaluation.results import Result
from actors.evaluation.sampling_plan import CHUNK_SAMPLES, task_seed
from actors.problems.joined_solutions import JoinError, join
from actors.problems.sft_demonstrations import Demonstration, LeftOut
from actors.prompts import unguided_message
from actors.verification.thoughts import DEFAULT_PAIRS
from broker.records import Problem, Task

_OPENED_THOUGHT = re.compile(
    rf"\s*(?:{'|'.join(re.escape(opening) for opening, _ in DEFAULT_PAIRS)})\s*", re.IGNORECASE
)
"""The opening marker with which a response begins; the guidance is then the beginning of the thought."""
TRUNCATED = "correct but cut by the token budget"
DUPLICATE = "the same as one that was kept"


@dataclass
class _ProblemState:
    missing: int
    """Number of correct responses still needed."""
    num_samples: int
    """Responses sampled so far, including those of earlier plans."""
    outstanding: int | None = None
    """Seed of the task whose result has not been recorded yet."""
    failed: bool = False


class RejectionSampling:
    """Samples each problem in rounds of one task until enough responses are correct. A `SamplingPlan`."""

    def __init__(self, needed: dict[str, tuple[int, int]], max_samples: int, seed: int) -> None:
        """`needed`: problem id -> (correct responses needed, responses sampled before)."""
        self._problems = {id: _ProblemState(missing, num_samples) for id, (missing, num_samples) in needed.items()}
        self._max_samples = max_samples
        self._seed = seed
        self.failed: dict[str, str] = {}
        """Problem id -> why it could not be sampled."""

    @property
    def largest_task(self) -> int:
        return min(self._max_samples, CHUNK_SAMPLES)

    @property
    def num_problems(self) -> int:
        return len(self._problems)

    @property
    def num_done(self) -> int:
        return sum(state.outstanding is None and not self._needs_samples(state) for state in self._problems.values())

    def tasks(self) -> list[Task]:
        return [
            self._next_task(id, state)
            for id, state in self._problems.items()
            if state.outstanding is None and self._needs_samples(state)
        ]

    def record(self, task: Task, result: Result) -> None:
        state = self._close(task)
        state.num_samples += result.samples
        state.missing -= result.successes

    def fail(self, task: Task, reason: str) -> None:
        self._close(task).failed = True
        self.failed[task.problem_id] = reason

    def _needs_samples(self, state: _ProblemState) -> bool:
        return state.missing > 0 and state.num_samples < self._max_samples and not state.failed

    def _next_task(self, id: str, state: _ProblemState) -> Task:
        state.outstanding = task_seed(self._seed, "completion", id, state.num_samples)
        size = min(CHUNK_SAMPLES, self._max_samples - state.num_samples)
        return Task(problem_id=id, arm="guided", samples=size, seed=state.outstanding)

    def _close(self, task: Task) -> _ProblemState:
        state = self._problems[task.problem_id]
        if state.outstanding is None or state.outstanding != task.seed:
            raise ValueError(f"no such task is outstanding: {task}")
        state.outstanding = None
        return state


@dataclass(frozen=True)
class CandidateResponse:
    """The text of one sampled response."""

    text: str
    correct: bool
    finished: bool
    """Ended with an end-of-sequence token, not at the token budget."""


@dataclass
class _Collected:
    """The responses of one problem."""

    problem: Problem
    solutions: list[str] = field(default_factory=list)
    """Joined solutions, in the order they were sampled."""
    num_samples: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Reason -> number of correct responses that were not used."""
    failed: str = ""
    """Why the problem could not be sampled."""


class DemonstrationPool:
    """Collects demonstrations from sampled responses."""

    def __init__(self, problems: Sequence[Problem], completions: int, max_samples: int) -> None:
        """`problems`: with guidance. `completions`: demonstrations needed per problem."""
        self._collected = {problem.id: _Collected(problem) for problem in problems}
        self._completions = completions
        self._max_samples = max_samples

    def needed(self) -> dict[str, tuple[int, int]]:
        """Problem id -> (demonstrations missing, responses sampled), for problems that need and allow more samples."""
        return {
            id: (self._completions - len(collected.solutions), collected.num_samples)
            for id, collected in self._collected.items()
            if len(collected.solutions) < self._completions
            and collected.num_samples < self._max_samples
            and not collected.failed
        }

    def add(self, problem_id: str, responses: Sequence[CandidateResponse]) -> None:
        """Adds the responses of one group. The groups of a problem must be added in the order of their group ids."""
        collected = self._collected[problem_id]
        collected.num_samples += len(responses)
        for response in responses:
            if response.correct and len(collected.solutions) < self._completions:
                self._use(collected, response)

    def fail(self, problem_id: str, reason: str) -> None:
        """Marks a problem as failed because it could not be sampled."""
        self._collected[problem_id].failed = reason

    def demonstrations(self) -> list[Demonstration]:
        """The demonstrations, in the order of the problems."""
        return [
            Demonstration(
                problem_id=id,
                source="prefix",
                prompt=unguided_message(collected.problem.statement),
                response=solution,
                system=collected.problem.system,
            )
            for id, collected in self._collected.items()
            for solution in collected.solutions
        ]

    def left_out(self) -> list[LeftOut]:
        """The problems without a demonstration, with reasons."""
        return [_left_out(id, collected) for id, collected in self._collected.items() if not collected.solutions]

    def _use(self, collected: _Collected, response: CandidateResponse) -> None:
        if not response.finished:
            collected.refused[TRUNCATED] += 1
            return
        opening = thought[0] if (thought := _OPENED_THOUGHT.match(response.text)) else ""
        try:
            solution = opening + join(collected.problem.guidance or "", response.text[len(opening) :])
        except JoinError as error:
            collected.refused[str(error)] += 1
            return
        if solution in collected.solutions:
            collected.refused[DUPLICATE] += 1
        else:
            collected.solutions.append(solution)


def _left_out(id: str, collected: _Collected) -> LeftOut:
    if collected.failed:
        return LeftOut(problem_id=id, reason=collected.failed)
    if not collected.refused:
        return LeftOut(problem_id=id, reason="no correct completion", detail=f"in {collected.num_samples} samples")
    counts = ", ".join(f"{count} {reason}" for reason, count in collected.refused.most_common())
    return LeftOut(
        problem_id=id, reason="no usable completion", detail=f"{counts}, in {collected.num_samples} samples"
    )
