"""Numbers of every script and in words, written in digits."""
# ruff: noqa: RUF001 - the characters of other scripts are meant

import pytest

from actors.problems.number_words import in_digits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("twelve", "12"),
        ("Twenty-one of them", "21 of them"),
        ("one hundred and five", "105"),
        ("three thousand and six", "3006"),
        ("one hundred twenty-one thousand", "121000"),
        ("two dozen and a hundred", "24 and 100"),
        ("one two three", "1 2 3"),
        ("six and seven", "6 and 7"),
        ("twenty thirty", "20 30"),
        ("the second, the twelfth, the twentieth", "the second, the 12, the 20"),
        ("one of these, someone, often, hundreds", "one of these, someone, often, hundreds"),
        ("one half, two-thirds, three quarters", r"\frac{1}{2}, \frac{2}{3}, \frac{3}{4}"),
        ("half of it, a fifth, the third, a half-plane", r"\frac{1}{2} of it, \frac{1}{5}, the third, a half-plane"),
        ("１２ and १२ and ٣٫٥ and ½ and x²", r"12 and 12 and 3.5 and \frac{1}{2} and x^{2}"),
        ("十二、一百四十四、二〇二六、三百万、一些", "12、144、2026、3000000、一些"),
        (r"√12, \sqrt3, \frac12", r"\sqrt{12}, \sqrt{3}, \frac{1}{2}"),
        (r"$36^\circ$, 36°, \mathbf{1 4}", "$36$, 36,  14 "),
    ],
)
def test_numbers_become_digits_and_other_words_stay(text, expected):
    assert in_digits(text) == expected
