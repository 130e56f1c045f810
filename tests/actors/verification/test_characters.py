"""Unicode characters in LaTeX."""
# ruff: noqa: RUF001 - characters that look like ASCII are its subject

import pytest

from actors.verification.characters import latex_characters


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("½", "\\frac{1}{2}"),
        ("3⅔", "3\\frac{2}{3}"),
        ("⅐", "\\frac{1}{7}"),
        ("1⁄8", "1/8"),
        ("¹⁄₈", "\\frac{1}{8}"),
        ("2^½", "2^{\\frac{1}{2}}"),
        ("√2", "\\sqrt{2}"),
        ("2√13", "2\\sqrt{13}"),
        ("√(1+√2)", "\\sqrt{1+\\sqrt{2}}"),
        ("√{x+1}", "\\sqrt{x+1}"),
        ("√π", "\\sqrt{\\pi}"),
        ("√½", "\\sqrt{\\frac{1}{2}}"),
        ("∛10", "\\sqrt[3]{10}"),
        ("sqrt(x+1)", "\\sqrt{x+1}"),
        ("\\sqrt{2}", "\\sqrt{2}"),
        ("x²y³", "x^{2}y^{3}"),
        ("10⁻¹²", "10^{-12}"),
        ("a₁₂", "a_{12}"),
        ("2πr", "2\\pi r"),
        ("2×3÷4·5", "2\\times 3\\div 4\\cdot 5"),
        ("−1 –2 ‑3", "-1 -2 -3"),
        ("x≤3", "x\\le 3"),
        ("(−∞,∅]", "(-\\infty ,\\emptyset ]"),
        ("（１，２）", "(1,2)"),
        ("７．５％", "7.5%"),
        ("1、2。", "1,2."),
        ("𝑥=𝟕", "x=7"),
        ("𝜋", "\\pi "),
        ("٤٢", "42"),
        ("30º", "30°"),
        ("5㎡", "5\\text{ m}^2"),
        ("1\u00a0000\u2009000", "1 000 000"),
        ("1&nbsp;000", "1 000"),
        ("a &lt; b", "a < b"),
        ("1&x\\\\2&y", "1&x\\\\2&y"),
        ("7 ✔\ufe0f", "7 \\checkmark "),
        ("4\u200b2", "4\u200b2"),
        ("四十二", "四十二"),
        ("Ⅸ", "Ⅸ"),
        ("√", "√"),
    ],
)
def test_characters_are_written_in_latex(text, latex):
    assert latex_characters(text) == latex
    assert latex_characters(latex) == latex
