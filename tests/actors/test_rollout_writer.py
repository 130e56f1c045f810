import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from actors.engine import GeneratedRollout
from actors.prompts import PromptBuilder
from actors.rollout_writer import PromptTooLong, RolloutWriter
from broker.records import Assignment, Problem, RolloutGroup, encode, int32_array
from conf.schema import ActorSettings, Sampling

END = 0


class Letters:
    """A tokenizer of one token a character."""

    eos_token_id = END

    def apply_chat_template(self, messages: list[dict[str, str]], **_: Any) -> str:
        return f"<{messages[0]['content']}>"

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        assert not add_special_tokens
        return {"input_ids": [ord(c) for c in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


class Engine:
    """Always answers `no`."""

    async def generate(
        self, prompt_ids: Sequence[int], num_rollouts: int, sampling: Sampling, seed: int | None = None
    ) -> list[GeneratedRollout]:
        return [GeneratedRollout([ord("n"), ord("o")], [-0.5, -0.5], ((0, 3),), "stop", 2)] * num_rollouts


class Verifier:
    async def judge(self, text: str, answer: str) -> str:
        return "correct" if text == answer else "wrong"

    async def reward(self, text: str, answer: str, verdict: str) -> tuple[str, float]:
        return verdict, float(verdict == "correct")


SOLUTION = "first\nthen 4"
PROBLEMS = {
    "solved": Problem(id="solved", statement="2+2", answer="4", bucket="hard", source="test", solution=SOLUTION),
    "bare": Problem(id="bare", statement="3+3", answer="6", bucket="hard", source="test"),
}


def write(problem: str = "solved", arm: str = "unguided", samples: int | None = None, **settings: Any) -> RolloutGroup:
    chosen = replace(ActorSettings(oracle_member=True, group_size=4, max_prompt_tokens=1000), **settings)
    tokenizer = Letters()
    writer = RolloutWriter(
        actor="actor-0",
        engine=Engine(),
        prompts=PromptBuilder(tokenizer),
        decode=tokenizer.decode,
        verifier=Verifier(),  # type: ignore[arg-type]
        problems=PROBLEMS,
        settings=chosen,
    )
    guidance = "first\n" if arm == "guided" else None
    task = Assignment(group_id=0, problem_id=problem, arm=arm, samples=samples, guidance=guidance)
    group = asyncio.run(writer.write(task, chosen.sampling))
    encode(group)  # checks the rules of the record
    return group


def test_the_oracles_solution_takes_the_place_of_one_rollout() -> None:
    group = write()
    assert len(group.rollouts) == 4
    assert [c.off_policy for c in group.rollouts] == [False, False, False, True]
    oracle = group.rollouts[-1]
    assert int32_array(oracle.token_ids).tolist() == [*map(ord, SOLUTION), END]
    assert (oracle.reward, oracle.logprobs, oracle.version_spans) == (1.0, b"", ())
    assert (len(group.policy_rollouts), group.num_successes, group.oldest_version) == (3, 0, 3)


@pytest.mark.parametrize(
    ("what", "options"),
    [
        ("by default", {"oracle_member": False}),
        ("a guided group", {"arm": "guided"}),
        ("another arm", {"arm": "easy"}),
        ("an evaluation or a mining task", {"samples": 4}),
        ("a problem without a solution", {"problem": "bare"}),
        ("a solution longer than a completion may be", {"max_completion_tokens": len(SOLUTION)}),
    ],
)
def test_no_oracle_is_added_to(what: str, options: dict[str, Any]) -> None:
    group = write(**options)
    assert len(group.policy_rollouts) == len(group.rollouts) == 4, what


def test_a_solution_that_just_fits_is_added_and_a_longer_one_is_named(caplog: pytest.LogCaptureFixture) -> None:
    assert write(max_completion_tokens=len(SOLUTION) + 1).rollouts[-1].off_policy
    write(max_completion_tokens=len(SOLUTION))
    assert f"solved: its solution has {len(SOLUTION) + 1} tokens" in caplog.text


def test_a_group_says_how_much_guidance_its_prompt_has() -> None:
    assert write(arm="guided").guidance_chars == len("first\n")
    assert write(arm="unguided").guidance_chars == 0


def test_a_prompt_that_is_too_long_is_named_before_anything_is_generated() -> None:
    with pytest.raises(PromptTooLong, match=r"actors.max_prompt_tokens=5"):
        write(max_prompt_tokens=5)
