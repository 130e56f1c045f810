"""Recorded assignments: written once, in the order of the group ids."""

import pytest

from broker.assignments import Assignments, Choice, GroupResult, GuidanceChoice
from tests.broker.broker_parts import BrokerParts

A, B, C = Choice("a problem", 1.0), Choice("b", 0.25), Choice("c|d", 12.5)
D = Choice("of four words; really", 1.0, GuidanceChoice(0.4375, 212, (GroupResult(41, 3, 8), GroupResult(57, 0, 7))))
E = Choice("e", 0.5, GuidanceChoice(0.0, 0))


@pytest.fixture
def recorded(client, keys) -> Assignments:
    return Assignments(client, keys)


def test_a_choice_comes_back_as_it_was_recorded(recorded: Assignments) -> None:
    assert recorded.append(0, [A, B])
    assert recorded.append(2, [C, D, E])
    assert recorded.all() == [A, B, C, D, E]
    assert [recorded.look(group_id, 0).choice for group_id in range(6)] == [A, B, C, D, E, None]


def test_the_words_of_an_entry_are_those_of_the_documented_form() -> None:
    assert [choice.encode() for choice in (A, D, E)] == [
        "1.0 a problem",
        "1.0;0.4375;212;41:3/8,57:0/7 of four words; really",
        "0.5;0.0;0; e",
    ]


def test_a_recorded_choice_is_never_changed(recorded: Assignments) -> None:
    assert recorded.append(0, [A])
    assert not recorded.append(0, [B]), "another process was first, or the call is a repetition"
    assert not recorded.append(2, [B]), "group 1 has no problem yet"
    assert recorded.all() == [A]


def test_a_look_names_the_newer_choices_and_the_unfinished_groups(client, keys, recorded: Assignments) -> None:
    parts = BrokerParts(client, keys)
    assert [parts.claim(f"{owner}/0") for owner in "xyz"] == [0, 1, 2]
    assert parts.feed.release("y") == 1
    assert parts.feed.fail(2, "z/0", "prompt_too_long")
    recorded.append(0, [A, B, C])
    look = recorded.look(2, 1)
    assert (look.choice, look.newer, look.complete, look.unfinished) == (C, (B, C), True, {0, 1})
