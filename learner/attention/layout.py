"""What a packed row contains: prompts, each followed by its rollouts."""

Layout = tuple[tuple[int, tuple[int, ...]], ...]
"""Contents of a row in order: (tokens of the prompt, tokens of each of its rollouts) for each bundle.
((3, (2, 4)), (5, (1,))): p p p a a b b b b, then p p p p p c."""


def row_tokens(layout: Layout) -> int:
    """Tokens of the row."""
    return sum(prompt + sum(rollouts) for prompt, rollouts in layout)


def longest_sample(layout: Layout) -> int:
    """Tokens of the longest prompt with one of its rollouts."""
    return max(prompt + max(rollouts) for prompt, rollouts in layout)
