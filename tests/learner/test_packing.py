"""Rows of samples: first-fit decreasing, and the same number of rows for every rank."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.packing import deal, fill, pack


def test_first_fit_decreasing_by_hand() -> None:
    # Longest first: 8, 7 and 5 open a row each; 3 fits beside 7, 2 beside 8; both rows are full, so 1 joins 5.
    assert pack([2, 8, 3, 7, 5, 1], 10) == [[1, 0], [3, 2], [4, 5]]
    assert fill([2, 8, 3, 7, 5, 1], 3, 10) == pytest.approx(26 / 30)


def test_of_equal_lengths_the_lower_number_comes_first() -> None:
    assert pack([4, 4, 4], 8) == [[0, 1], [2]]


def test_a_sample_longer_than_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sample 1 has 11 tokens, learner.row_tokens=10"):
        pack([3, 11], 10)


def test_nothing_packs_into_nothing() -> None:
    assert pack([], 10) == []
    assert fill([], 0, 10) == 0.0


@given(st.lists(st.integers(1, 50), max_size=80), st.integers(50, 120))
def test_every_sample_is_in_one_row_and_no_row_overflows(lengths: list[int], row_tokens: int) -> None:
    rows = pack(lengths, row_tokens)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    totals = [sum(lengths[i] for i in row) for row in rows]
    assert all(0 < total <= row_tokens for total in totals)
    # First fit never opens a row while two others are at most half full.
    assert sum(2 * total <= row_tokens for total in totals) <= 1


@given(st.lists(st.integers(1, 50), max_size=80), st.integers(1, 9))
def test_ranks_share_all_rows_and_run_equally_many(lengths: list[int], num_ranks: int) -> None:
    rows = pack(lengths, 60)
    dealt = deal(rows, num_ranks)
    assert len(dealt) == num_ranks
    assert len({len(mine) for mine in dealt}) == 1
    assert len(dealt[0]) >= 1
    assert sorted(row for mine in dealt for row in mine if row) == sorted(rows)
    assert sum(not row for mine in dealt for row in mine) < num_ranks or not rows
