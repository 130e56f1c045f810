"""What follows the thoughts of a response, for the markers of different models."""


from functools import partial

import pytest

from actors.verification.thoughts import DEFAULT_PAIRS, Thoughts, after_last_thought
from tests.yardstick import loops


@pytest.mark.parametrize(("opening", "closing"), DEFAULT_PAIRS)
def test_every_pair_of_markers_is_known_in_any_case(opening, closing):
    for begin, end in ((opening, closing), (opening.upper(), closing.upper())):
        assert after_last_thought(f"a{begin}b{end}c") == "c"
        assert after_last_thought(f"b{end}c") == "c", "the prompt may have opened it"
        assert after_last_thought(f"a{begin}b{end}c{begin}d") is None
        assert after_last_thought(f"a{begin}b") is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", ""),
        ("no thought", "no thought"),
        ("<think>a</think>b</think>c", "c"),
        ("<think>a<think>b</think>c", "c"),
        ("<think>a</think>b<think>c</think>d", "d"),
        ("<think>between <reasoning> and</think>c", "c"),
        ("<think>as </reasoning> says", None),
        ("<think>a<reasoning>b</reasoning>c", None),
        ("1 < think > 0", "1 < think > 0"),
        ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "<|message|>b"),
    ],
)
def test_only_the_text_after_the_last_closed_thought_remains(text, answer):
    assert after_last_thought(text) == answer


def test_a_thought_opened_by_the_prompt_must_be_closed():
    opened = Thoughts(opened=True)
    assert after_last_thought("a", opened) is None
    assert after_last_thought("", opened) is None
    assert after_last_thought("a</think>b", opened) == "b"
    assert after_last_thought("<think>a</think>b", opened) == "b"
    assert after_last_thought("a</think>b<think>c", opened) is None


def test_markers_of_a_tokenizer_are_used_instead():
    thoughts = Thoughts(pairs=(("<|hm|>", "<|/hm|>"),))
    assert after_last_thought("<|hm|>a<|/hm|>b", thoughts) == "b"
    assert after_last_thought("<|hm|>a", thoughts) is None
    assert after_last_thought("<think>a", thoughts) == "<think>a"
    assert after_last_thought("<think>a", Thoughts(pairs=())) == "<think>a"


def test_long_responses_take_linear_time():
    for text in ("<think></think>" * 10_000, "<|channel|" * 20_000, "<think>" + "</" * 50_000):
        assert loops(partial(after_last_thought, text)) < 20, text[:20]
