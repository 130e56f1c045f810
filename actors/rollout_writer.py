"""Problem -> group of rollouts: prompt, generate, judge, reward (arrows 2 to 4)."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from actors.prompts import PromptBuilder
from actors.verification.rewards import reward
from actors.verification.verifier import VerifierPool
from broker.records import (
    Assignment,
    FinishReason,
    Problem,
    Rollout,
    RolloutGroup,
    float32_bytes,
    int32_bytes,
)
from conf.schema import ActorSettings

log = logging.getLogger(__name__)


class Sampled(Protocol):
    """What an engine returns for one completion; see `actors.engine.Generation`."""

    @property
    def token_ids(self) -> list[int]: ...
    @property
    def logprobs(self) -> list[float]: ...
    @property
    def version_spans(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def finish_reason(self) -> FinishReason: ...


class Sampler(Protocol):
    """The part of `actors.engine.Engine` that writes rollouts."""

    async def generate(
        self, prompt_ids: Sequence[int], num_completions: int, seed: int | None = None
    ) -> Sequence[Sampled]: ...


class PromptTooLong(Exception):
    """A prompt does not leave room for a completion; the group is counted as failed."""


class RolloutWriter:
    """Writes groups with one engine and one pool of verifiers."""

    def __init__(
        self,
        *,
        actor: str,
        engine: Sampler,
        prompts: PromptBuilder,
        decode: Callable[[list[int]], str],
        verifier: VerifierPool,
        problems: Mapping[str, Problem],
        settings: ActorSettings,
    ) -> None:
        self._actor = actor
        self._engine = engine
        self._prompts = prompts
        self._decode = decode
        self._verifier = verifier
        self._problems = problems
        self._settings = settings
        self._too_long: set[str] = set()
        """Problems whose solution does not fit into a completion; each is warned of once."""

    async def write(self, assignment: Assignment) -> RolloutGroup:
        """All rollouts of one assignment, the oracle's solution last. Raises PromptTooLong before anything is
        generated."""
        problem = self._problems[assignment.problem_id]
        if assignment.guidance is not None:
            problem = msgspec.structs.replace(problem, guidance=assignment.guidance)
        prompt_ids = self._prompt_ids(problem, assignment.arm)
        oracle = self._oracle(assignment, problem)
        num_rollouts = (assignment.samples or self._settings.group_size) - len(oracle)
        generations = await self._engine.generate(prompt_ids, num_rollouts, seed=assignment.seed)
        judged = await asyncio.gather(*(self._judged(g, problem.answer) for g in generations))
        return RolloutGroup(
            group_id=assignment.group_id,
            problem_id=problem.id,
            arm=assignment.arm,
            bucket=problem.bucket,
            actor=self._actor,
            prompt_ids=int32_bytes(prompt_ids),
            rollouts=(*judged, *oracle),
        )

    async def _judged(self, generation: Sampled, answer: str) -> Rollout:
        verdict = await self._verifier.judge(self._decode(generation.token_ids), answer)
        return Rollout(
            token_ids=int32_bytes(generation.token_ids),
            logprobs=float32_bytes(generation.logprobs),
            version_spans=generation.version_spans,
            finish_reason=generation.finish_reason,
            verdict=verdict,
            reward=reward(verdict),
        )

    def _oracle(self, assignment: Assignment, problem: Problem) -> tuple[Rollout, ...]:
        """LUFFY: the oracle's solution in place of one rollout, for unguided training groups only.

        Nobody judges it: it counts as correct, whatever it ends with (`deploy.jobs.problems.oracle_warning`).
        A task with a number of samples of its own measures the policy (evaluation, mining) and never gets it.
        """
        training = assignment.samples is None and assignment.arm == "unguided"
        if not (self._settings.oracle_member and training and problem.solution):
            return ()
        token_ids = self._prompts.response_ids(problem.solution)
        if len(token_ids) > self._settings.max_completion_tokens:
            if problem.id not in self._too_long:
                self._too_long.add(problem.id)
                log.warning(
                    "%s: its solution has %d tokens, actors.max_completion_tokens=%d; its groups have no oracle member",
                    problem.id, len(token_ids), self._settings.max_completion_tokens,
                )  # fmt: skip
            return ()
        return (
            Rollout(
                token_ids=int32_bytes(token_ids),
                logprobs=b"",
                version_spans=(),
                finish_reason="stop",
                verdict="correct",
                reward=1.0,
                off_policy=True,
            ),
        )

    def _prompt_ids(self, problem: Problem, arm: str) -> list[int]:
        prompt_ids = self._prompts.ids(problem, guided=arm == "guided")
        if len(prompt_ids) > self._settings.max_prompt_tokens:
            raise PromptTooLong(
                f"{problem.id} ({arm}): prompt of {len(prompt_ids)} tokens, "
                f"actors.max_prompt_tokens={self._settings.max_prompt_tokens}"
            )
        return prompt_ids
