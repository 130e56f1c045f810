"""Markers of thoughts are found among a tokenizer's own tokens and at the end of its prompts."""

import pytest

from actors.chat_template import ChatTemplate
from actors.thought_markers import thought_pairs
from actors.verification.answers import claimed_answers
from actors.verification.thoughts import DEFAULT_PAIRS
from conf.schema import PromptSettings
from tests.actors.chat_tokenizers import CHATML, CHATML_TOKENS, SWITCHED, byte_tokenizer

PAIRS = [
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|my_reasoning|>", "<|/my_reasoning|>"),
    ("<|deep_think_start|>", "<|deep_think_end|>"),
    ("<long_cot>", "</long_cot>"),
]


@pytest.mark.parametrize(("opening", "closing"), PAIRS)
@pytest.mark.parametrize("special", [True, False])
def test_pairs_of_added_tokens_are_found_and_no_box_inside_a_thought_counts(
    opening: str, closing: str, special: bool
) -> None:
    marks = {"tokens": [*CHATML_TOKENS, opening, closing]} if special else {"plain_tokens": [closing, opening]}
    opened = ChatTemplate(byte_tokenizer(CHATML.replace("assistant\n", f"assistant\n{opening}\n"), **marks)).thoughts
    closed = ChatTemplate(byte_tokenizer(**marks)).thoughts
    assert (opened.opened, closed.opened) == (True, False)
    assert (opening, closing) in opened.pairs
    assert (opening, closing) in closed.pairs
    rest = rf"maybe \boxed{{3}}{closing} \boxed{{4}}"
    assert claimed_answers(rest, opened) == claimed_answers(opening + rest, closed) == ("4",)
    assert claimed_answers(r"cut \boxed{3}", opened) == claimed_answers(rf"{opening}cut \boxed{{3}}", closed) == ()


@pytest.mark.parametrize("tokens", [["<tool_call>", "</tool_call>"], ["<think>"], ["</think>"], ["<|vision_start|>"]])
def test_other_tokens_are_no_markers(tokens: list[str]) -> None:
    assert set(thought_pairs(tokens)) == set(DEFAULT_PAIRS)


@pytest.mark.parametrize(
    ("end", "opened"),
    [
        ("<scratchpad>", True),
        ("<my_thoughts>\n", True),
        ("[DEEP_THINK] ", True),
        ("<think>\n\n</think>\n\n", False),
        ("Think step by step: ", False),
        ("<answer>", False),
        ("", False),
    ],
)
def test_a_prompt_opens_a_thought_that_is_no_token(end: str, opened: bool) -> None:
    assert ChatTemplate(byte_tokenizer(CHATML.replace("assistant\n", f"assistant\n{end}"))).thoughts.opened is opened


def test_a_marker_that_the_user_writes_opens_nothing() -> None:
    settings = PromptSettings(system="Think inside <think> and </think>, or begin with <think>")
    assert not ChatTemplate(byte_tokenizer(), settings).thoughts.opened


@pytest.mark.parametrize(("value", "words"), [(False, "skip the thought (<think></think>)"), (True, None)])
def test_the_facts_say_what_the_prompt_does(value: bool, words: str | None) -> None:
    said = ChatTemplate(
        byte_tokenizer(SWITCHED), PromptSettings(template_kwargs={"enable_thinking": value})
    ).prompt_thought
    assert said is None if words is None else words in str(said)
