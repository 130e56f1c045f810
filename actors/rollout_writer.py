"""Creates a rollout group: builds the prompt, generates rollouts, judges and rewards them (arrows 2 to 4)."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from actors.engine import GeneratedRollout
from actors.prompts import PromptBuilder
from broker.records import Assignment, Problem, Rollout, RolloutGroup, Verdict, float32_bytes, int32_bytes
from conf.schema import ActorSettings, Sampling

log = logging.getLogger(__name__)


class Sampler(Protocol):
    """The part of `actors.engine.Engine` that generates rollouts."""

    async def generate(
        self, prompt_ids: Sequence[int], num_rollouts: int, sampling: Sampling, seed: int | None = None
    ) -> Sequence[GeneratedRollout]: ...


class Verifier(Protocol):
    """The part of `actors.verification.judge.Judge` that judges rollouts."""

    async def judge(self, text: str, reference: str) -> Verdict: ...

    async def reward(self, text: str, reference: str, verdict: Verdict) -> tuple[Verdict, float | None]: ...


class PromptTooLong(Exception):
    """A prompt is longer than `actors.max_prompt_tokens`; the group is counted as failed."""

    reason = "prompt_too_long"


class RolloutWriter:
    """Writes groups with one engine and one verifier."""

    def __init__(
        self,
        *,
        actor: str,
        engine: Sampler,
        prompts: PromptBuilder,
        decode: Callable[[list[int]], str],
        verifier: Verifier,
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
        """Ids of problems whose solution exceeds `max_completion_tokens`; one warning is logged for each."""

    async def write(self, assignment: Assignment, sampling: Sampling) -> RolloutGroup:
        """The rollout group of an assignment; an oracle rollout is the last. Raises PromptTooLong before generating."""
        problem = self._problems[assignment.problem_id]
        if assignment.guidance is not None:
            problem = msgspec.structs.replace(problem, guidance=assignment.guidance)
        prompt_ids = self._prompt_ids(problem, assignment.arm)
        oracle = self._oracle_rollout(assignment, problem)
        num_rollouts = (assignment.samples or self._settings.group_size) - len(oracle)
        generated = await self._engine.generate(prompt_ids, num_rollouts, sampling, seed=assignment.seed)
        judged = await asyncio.gather(*(self._judge(rollout, problem.answer) for rollout in generated))
        return RolloutGroup(
            group_id=assignment.group_id,
            problem_id=problem.id,
            arm=assignment.arm,
            bucket=problem.bucket,
            actor=self._actor,
            prompt_ids=int32_bytes(prompt_ids),
            rollouts=(*judged, *oracle),
            prompt_version=min(rollout.prompt_version for rollout in generated),
            sampling_share=assignment.sampling_share,
            guidance_chars=len(problem.guidance or "") if assignment.arm == "guided" else 0,
        )

    async def _judge(self, generated: GeneratedRollout, answer: str) -> Rollout:
        text = self._decode(generated.token_ids)
        verdict, reward = await self._verifier.reward(text, answer, await self._verifier.judge(text, answer))
        return Rollout(
            token_ids=int32_bytes(generated.token_ids),
            logprobs=float32_bytes(generated.logprobs),
            version_spans=generated.version_spans,
            finish_reason=generated.finish_reason,
            verdict=verdict,
            reward=reward,
        )

    def _oracle_rollout(self, assignment: Assignment, problem: Problem) -> tuple[Rollout, ...]:
        """LUFFY: the oracle solution as a rollout of an unguided training group; else empty.

        It is not judged but counts as correct (`deploy.jobs.problems.oracle_warning`). Assignments that set `samples`
        measure the policy (evaluation, mining) and get no oracle rollout.
        """
        training = assignment.samples is None and assignment.arm == "unguided"
        if not (self._settings.oracle_member and training and problem.solution):
            return ()
        token_ids = self._prompts.response_ids(problem.solution)
        if len(token_ids) > self._settings.max_completion_tokens:
            if problem.id not in self._too_long:
                self._too_long.add(problem.id)
                log.warning(
                    "%s: its solution has %d tokens, actors.max_completion_tokens=%d; its groups get no oracle rollout",
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
