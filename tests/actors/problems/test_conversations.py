"""Conversations are read by the roles of their turns; those without a question for a prompt are refused by name."""

import pytest

from actors.problems.conversations import Conversation, ConversationError, is_conversation, read_conversation

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What is 2+5?"}
ASSISTANT = {"role": "assistant", "content": "It is 7."}
HELLO = {"role": "user", "content": "Hello."}


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([USER], ("What is 2+5?", None, None)),
        ([SYSTEM, USER], ("What is 2+5?", "Be brief.", None)),
        ([SYSTEM, USER, ASSISTANT], ("What is 2+5?", "Be brief.", "It is 7.")),
        ([SYSTEM, {**SYSTEM, "content": "Use LaTeX."}, USER], ("What is 2+5?", "Be brief.\n\nUse LaTeX.", None)),
        ([{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}], ("Why?", None, "So.")),
        ([{"from": "Human", "value": "Why?", "weight": 0.0}], ("Why?", None, None)),
        ([{"role": "developer", "content": "A."}, {"role": "user", "content": "B?"}], ("B?", "A.", None)),
        ([{"role": "user", "content": [{"type": "text", "text": "What is "}, {"type": "text", "text": "2+5?"}]}],
         ("What is 2+5?", None, None)),
        ([{**SYSTEM, "content": ""}, USER, {**ASSISTANT, "content": None}], ("What is 2+5?", None, None)),
        ([SYSTEM, HELLO, ASSISTANT, USER, ASSISTANT], ("What is 2+5?", "Be brief.", "It is 7.", 2)),
        ([HELLO, SYSTEM, USER], ("What is 2+5?", "Be brief.", None, 1)),
        ([ASSISTANT, USER], ("What is 2+5?", None, None, 1)),
        ([USER, ASSISTANT, HELLO], ("Hello.", None, None, 2)),
    ],
)  # fmt: skip
def test_the_last_user_turn_is_the_problem_wherever_it_stands(turns, expected):
    assert is_conversation(turns)
    assert read_conversation(turns) == Conversation(*expected)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([SYSTEM], "empty_statement"),
        ([SYSTEM, ASSISTANT], "empty_statement"),
        ([USER, SYSTEM], "turn_order"),
        ([USER, ASSISTANT, ASSISTANT], "turn_order"),
        ([USER, {"role": "tool", "content": "7"}], "tool_turn"),
        ([USER, {**ASSISTANT, "tool_calls": [{"name": "add"}]}], "tool_turn"),
        ([{"from": "function_call", "value": "{}"}, USER], "tool_turn"),
        ([{"role": "critic", "content": "Hm."}, USER], "unknown_role"),
        ([{"role": None, "content": "Hm."}], "unknown_role"),
        ([{"role": "user", "content": [{"type": "image", "url": "x.png"}, {"type": "text", "text": "?"}]}], "not_text"),
        ([{"role": "user", "content": 5}], "not_text"),
    ],
)
def test_a_conversation_that_holds_no_question_for_a_prompt_is_refused_by_name(turns, reason):
    with pytest.raises(ConversationError) as refused:
        read_conversation(turns)
    assert refused.value.reason == reason


@pytest.mark.parametrize("value", [None, "text", [], ["text"], [{"content": "no role"}], {"role": "user"}, [USER, "a"]])
def test_other_values_are_no_conversation(value):
    assert not is_conversation(value)
