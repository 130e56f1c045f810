"""Rejection sampling: completions of the base model, guided by the prefix POPE uses, until enough of them are correct.

"SFT on the prefix of the oracle solution followed by a successful on-policy completion obtained via rejection sampling
from the base model" (POPE section 6). `RejectionSampling` asks for rollouts and counts the correct ones; `Harvest`
looks at their texts, and says which problems still lack completions because some correct ones could not be used.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from actors.evaluation.results import Result
from actors.evaluation.sampling_plan import CHUNK_SAMPLES, task_seed
from actors.problems.joined_solutions import Incoherent, join
from actors.problems.sft_demonstrations import Demonstration, LeftOut
from actors.prompts import unguided_message
from broker.records import Problem, Task

CUT = "correct but cut by the token budget"
SAME = "the same as one that was kept"


@dataclass
class _Want:
    """Of one problem."""

    missing: int
    """Correct completions that are still wanted."""
    taken: int
    """Completions sampled so far, those of earlier plans included."""
    outstanding: int | None = None
    """Seed of the task that has not come back."""
    failed: bool = False


class RejectionSampling:
    """Samples each problem in rounds of one task, until enough completions are correct; a `SamplingPlan`."""

    def __init__(self, wanted: dict[str, tuple[int, int]], max_samples: int, seed: int) -> None:
        """`wanted`: problem -> (correct completions wanted, completions sampled before)."""
        self._wants = {id: _Want(missing, taken) for id, (missing, taken) in wanted.items()}
        self._max_samples = max_samples
        self._seed = seed
        self.failed: dict[str, str] = {}
        """Problem -> why it could not be sampled."""

    @property
    def largest_task(self) -> int:
        return min(self._max_samples, CHUNK_SAMPLES)

    @property
    def num_problems(self) -> int:
        return len(self._wants)

    @property
    def num_done(self) -> int:
        return sum(want.outstanding is None and not self._goes_on(want) for want in self._wants.values())

    def tasks(self) -> list[Task]:
        return [
            self._task(id, want)
            for id, want in self._wants.items()
            if want.outstanding is None and self._goes_on(want)
        ]

    def record(self, task: Task, result: Result) -> None:
        want = self._end(task)
        want.taken += result.samples
        want.missing -= result.successes

    def fail(self, task: Task, reason: str) -> None:
        self._end(task).failed = True
        self.failed[task.problem_id] = reason

    def _goes_on(self, want: _Want) -> bool:
        return want.missing > 0 and want.taken < self._max_samples and not want.failed

    def _task(self, id: str, want: _Want) -> Task:
        want.outstanding = task_seed(self._seed, "completion", id, want.taken)
        size = min(CHUNK_SAMPLES, self._max_samples - want.taken)
        return Task(problem_id=id, arm="guided", samples=size, seed=want.outstanding)

    def _end(self, task: Task) -> _Want:
        want = self._wants[task.problem_id]
        if want.outstanding is None or want.outstanding != task.seed:
            raise ValueError(f"no such task is outstanding: {task}")
        want.outstanding = None
        return want


@dataclass(frozen=True)
class Sampled:
    """One completion, read."""

    text: str
    correct: bool
    finished: bool
    """It ended by itself, not by the token budget."""


@dataclass
class _Crop:
    """Of one problem."""

    problem: Problem
    kept: list[str] = field(default_factory=list)
    """Joined solutions, in the order they were sampled."""
    taken: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Why correct completions were not kept."""
    failed: str = ""


class Harvest:
    """The demonstrations that sampling has given so far."""

    def __init__(self, problems: Sequence[Problem], completions: int, max_samples: int) -> None:
        """`problems` have their guidance. `completions`: how many to keep of each."""
        self._crops = {problem.id: _Crop(problem) for problem in problems}
        self._completions = completions
        self._max_samples = max_samples

    def wanted(self) -> dict[str, tuple[int, int]]:
        """Problems that lack completions and may be sampled on -> (how many they lack, samples taken)."""
        return {
            id: (self._completions - len(crop.kept), crop.taken)
            for id, crop in self._crops.items()
            if len(crop.kept) < self._completions and crop.taken < self._max_samples and not crop.failed
        }

    def add(self, problem_id: str, completions: Sequence[Sampled]) -> None:
        """Take the completions of one group; groups of a problem come in the order they were asked for."""
        crop = self._crops[problem_id]
        crop.taken += len(completions)
        for completion in completions:
            if completion.correct and len(crop.kept) < self._completions:
                self._keep(crop, completion)

    def fail(self, problem_id: str, reason: str) -> None:
        self._crops[problem_id].failed = reason

    def demonstrations(self) -> list[Demonstration]:
        """By problem, in their order."""
        return [
            Demonstration(
                problem_id=id, source="prefix", prompt=unguided_message(crop.problem.statement), response=response
            )
            for id, crop in self._crops.items()
            for response in crop.kept
        ]

    def left_out(self) -> list[LeftOut]:
        """Problems without a single demonstration, and why."""
        return [_left_out(id, crop) for id, crop in self._crops.items() if not crop.kept]

    def _keep(self, crop: _Crop, completion: Sampled) -> None:
        if not completion.finished:
            crop.refused[CUT] += 1
            return
        try:
            solution = join(crop.problem.guidance or "", completion.text)
        except Incoherent as error:
            crop.refused[str(error)] += 1
            return
        if solution in crop.kept:
            crop.refused[SAME] += 1
        else:
            crop.kept.append(solution)


def _left_out(id: str, crop: _Crop) -> LeftOut:
    if crop.failed:
        return LeftOut(problem_id=id, reason=crop.failed)
    if not crop.refused:
        return LeftOut(problem_id=id, reason="no correct completion", detail=f"in {crop.taken} samples")
    counts = ", ".join(f"{count} {reason}" for reason, count in crop.refused.most_common())
    return LeftOut(problem_id=id, reason="no usable completion", detail=f"{counts}, in {crop.taken} samples")
