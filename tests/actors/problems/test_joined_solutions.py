"""A prefix and a completion are joined into one solution without repetition."""

import random

import pytest

from actors.problems.joined_solutions import REFERS_TO_PREFIX, STARTS_OVER, JoinError, join
from actors.problems.tiny.chains import draw_chain

PREFIX = "$a=K(6)=4$\n$b=G(4)=0$"
REST = "$c=H(0)=4$\nThe answer is $\\boxed{a^4b^0c^4}$."
WHOLE = f"{PREFIX}\n{REST}"


def test_a_completion_that_continues_is_appended_to_the_prefix() -> None:
    assert join(PREFIX, REST) == WHOLE
    assert join(PREFIX, f"\n\n{REST}\n") == WHOLE


def test_a_restated_part_appears_once() -> None:
    assert join(PREFIX, WHOLE) == WHOLE
    assert join(PREFIX, f"$b=G(4)=0$\n{REST}") == WHOLE


def test_restatements_are_found_whatever_their_white_space() -> None:
    assert join(PREFIX, f"  $a=K(6)=4$ $b=G(4)=0$\n\n{REST}") == WHOLE


def test_text_before_a_complete_restatement_is_removed() -> None:
    assert join(PREFIX, f"The partial response says:\n{PREFIX}\nNow we go on.\n{REST}") == (
        f"{PREFIX}\nNow we go on.\n{REST}"
    )


@pytest.mark.parametrize(
    "completion", [f"$a=K(6)=4$\n$b=G(4)=9$\n{REST}", f"Let us begin again.\n$a=K(6)=4$\n{REST}"]
)
def test_a_completion_that_starts_over_and_deviates_is_refused(completion: str) -> None:
    with pytest.raises(JoinError, match=STARTS_OVER):
        join(PREFIX, completion)


@pytest.mark.parametrize("words", ["the partial response", "Partial  solution"])
def test_a_completion_that_mentions_the_partial_response_is_refused(words: str) -> None:
    with pytest.raises(JoinError, match=REFERS_TO_PREFIX):
        join(PREFIX, f"We continue {words} with $c=4$.\n{REST}")


def test_a_part_of_a_longer_word_is_no_restatement() -> None:
    # The last step of the prefix is "So n = 1"; the completion begins with "So n = 10", which is another statement.
    assert join("Let $n$ be prime.\nSo n = 1", "So n = 10 fails.\nDone.") == (
        "Let $n$ be prime.\nSo n = 1\nSo n = 10 fails.\nDone."
    )


def test_without_a_prefix_the_completion_is_the_solution() -> None:
    assert join("", f" {REST} ") == REST


def test_every_cut_and_every_restatement_of_a_chain_gives_the_oracles_solution() -> None:
    """A solution in lines, cut at every line and completed from every line at or before the cut."""
    rng = random.Random(0)
    for _ in range(50):
        lines = draw_chain(rng, 5).solution.split("\n")
        if len(set(lines)) < len(lines):
            continue
        for cut in range(1, 6):
            for start in range(cut + 1):
                assert join("\n".join(lines[:cut]), "\n".join(lines[start:])) == "\n".join(lines)
