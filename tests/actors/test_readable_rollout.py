import msgspec

from actors.prompts import guidance_span, guided_message, unguided_message
from actors.readable_rollout import sample_values, token_pieces
from actors.verification.thoughts import Thoughts
from broker.records import Rollout, RolloutGroup, float32_bytes, int32_bytes
from broker.rollout_samples import MAX_TEXT, MAX_TOKENS

BYTES = "naïve 🙂 x".encode()


def from_bytes(token_ids: list[int]) -> str:
    """A tokenizer whose tokens are single bytes: characters span several."""
    return bytes(token_ids).decode("utf-8", errors="replace")


def from_characters(token_ids: list[int]) -> str:
    return "".join(map(chr, token_ids))


def group(prompt: str, texts: list[str], arm: str = "guided") -> RolloutGroup:
    rollouts = []
    for i, text in enumerate(texts):
        ids = [ord(c) for c in text]
        rollouts.append(
            Rollout(
                token_ids=int32_bytes(ids), logprobs=float32_bytes([-0.25] * len(ids)),
                version_spans=((0, 4), (2, 5)), finish_reason="stop", verdict="correct" if i else "wrong",
                reward=float(bool(i)),
            )
        )  # fmt: skip
    return RolloutGroup(
        group_id=9, problem_id="p", arm=arm, bucket="hard", actor="actor-0",
        prompt_ids=int32_bytes([ord(c) for c in prompt]), rollouts=tuple(rollouts),
    )  # fmt: skip


def test_pieces_are_the_text_and_a_character_belongs_to_the_token_that_ends_it() -> None:
    pieces = token_pieces(list(BYTES), from_bytes)
    assert "".join(pieces) == "naïve 🙂 x"
    assert len(pieces) == len(BYTES)
    assert pieces[:5] == ["n", "a", "", "ï", "v"]
    assert pieces[pieces.index("🙂") - 3 : pieces.index("🙂")] == ["", "", ""]


def test_an_unfinished_character_at_the_end_is_not_lost() -> None:
    assert "".join(token_pieces(list(BYTES[:8]), from_bytes)) == from_bytes(list(BYTES[:8]))


def test_an_oracles_solution_is_no_sample() -> None:
    """It is the first rollout and correct, but the policy did not write it; `index` counts it."""
    written = group("p", ["no", "yes!"])
    oracle = Rollout(
        token_ids=int32_bytes([1]), logprobs=b"", version_spans=(), finish_reason="stop", verdict="correct", reward=1.0,
        off_policy=True,
    )  # fmt: skip
    rollouts = (oracle, *written.rollouts)
    values = sample_values(msgspec.structs.replace(written, rollouts=rollouts), from_characters, "42")
    assert (values["index"], values["completion"]) == (2, "yes!")


def test_a_sample_shows_the_correct_rollout_with_its_guidance_marked() -> None:
    prompt = guided_message("Find $a$.\n\nPartial Response: none of yours", "$a=F(1)=4$", "default")
    values = sample_values(group(prompt, ["no", "yes!"]), from_characters, "42")
    assert (values["index"], values["verdict"], values["reward"], values["completion"]) == (1, "correct", 1.0, "yes!")
    assert values["token_chars"] == "1 1 1 1"
    assert values["logprobs"] == "-0.25 -0.25 -0.25 -0.25"
    assert values["spans"] == "0:4 2:5"
    start, stop = map(int, str(values["guidance"]).split(":"))
    assert str(values["prompt"])[start:stop] == "$a=F(1)=4$"


def test_a_sample_names_the_reference_answer_and_what_the_response_claims() -> None:
    text = r"<think>\boxed{1}</think> so $a$ is \boxed{42}."
    values = sample_values(group("p", ["no", text]), from_characters, "42")
    assert (values["answer"], values["claimed"], values["finish"]) == ("42", '["42"]', "stop")
    assert sample_values(group("p", ["no"]), from_characters, "42")["claimed"] == "[]"
    opened = Thoughts(opened=True)  # the response is inside a thought that it never closes
    assert sample_values(group("p", ["no", r"\boxed{42}"]), from_characters, "42", opened)["claimed"] == "[]"


def test_an_unguided_sample_marks_nothing() -> None:
    prompt = unguided_message("Partial Response: x\n\nContinue solving the problem")
    assert sample_values(group(prompt, ["no"], arm="unguided"), from_characters, "42")["guidance"] == ""
    assert guidance_span(unguided_message("Find $a$.")) is None


def test_a_megabyte_is_cut() -> None:
    values = sample_values(group("p", ["x" * 1_000_000]), from_characters, "42")
    assert len(str(values["completion"])) == MAX_TEXT
    assert len(str(values["token_chars"]).split()) == MAX_TOKENS
    assert values["completion_tokens"] == 1_000_000
