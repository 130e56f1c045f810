"""Assigns samples to rows, and rows to ranks. Pure: every rank computes the same result."""

from collections.abc import Sequence


def pack(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """Sample numbers of each row, by first-fit decreasing: at most one row is at most half full.

    Of equal lengths the lower number comes first. Raises ValueError when a sample is longer than a row.
    """
    _refuse_longer(lengths, row_tokens)
    rows: list[list[int]] = []
    room: list[int] = []
    for sample in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[sample]
        row = next((r for r, left in enumerate(room) if length <= left), None)
        if row is None:
            row = len(rows)
            rows.append([])
            room.append(row_tokens)
        rows[row].append(sample)
        room[row] -= length
    return rows


def separate(lengths: Sequence[int], row_tokens: int) -> list[list[int]]:
    """A row for each sample, the longest first. Raises ValueError when a sample is longer than a row."""
    _refuse_longer(lengths, row_tokens)
    return [[sample] for sample in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))]


def deal(rows: Sequence[list[int]], num_ranks: int) -> list[list[list[int]]]:
    """Rows of each rank. Every rank gets the same number, because a row is a collective; empty rows are added.

    `pack` returns fuller rows first, so a round-robin assignment also balances the tokens.
    """
    per_rank = max(1, -(-len(rows) // num_ranks))
    padded = [*rows, *([] for _ in range(per_rank * num_ranks - len(rows)))]
    return [padded[rank::num_ranks] for rank in range(num_ranks)]


def fill(lengths: Sequence[int], num_rows: int, row_tokens: int) -> float:
    """Share of the rows' tokens that belong to samples."""
    return sum(lengths) / (num_rows * row_tokens) if num_rows else 0.0


def _refuse_longer(lengths: Sequence[int], row_tokens: int) -> None:
    for sample, length in enumerate(lengths):
        if length > row_tokens:
            raise ValueError(
                f"sample {sample} has {length} tokens, learner.row_tokens={row_tokens} holds fewer; raise it"
            )
