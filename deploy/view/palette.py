"""The colours of all figures: the palette of Okabe and Ito (2008), which colour-blind readers can tell apart."""

BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
VERMILLION, SKY, YELLOW, BLACK = "#D55E00", "#56B4E9", "#F0E442", "#000000"
OTHER, FAINT, PALE, BROWN = "#555555", "#999999", "#BBBBBB", "#8C564B"

ARMS = {"unguided": BLUE, "guided": ORANGE, "easy": GREEN, "easier": PURPLE}
BUCKETS = {"hard": VERMILLION, "easy": BLUE, "easier": GREEN, "none": FAINT}
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
"""For series without a fixed colour, such as experiments. Yellow is left out: it is too faint on paper."""
LIGHT = {YELLOW, ORANGE, SKY, PURPLE, PALE}
"""Fills on which black is easier to read than white."""


def ink(fill: str) -> str:
    """The colour of text on a fill."""
    return BLACK if fill in LIGHT else "white"
