"""Which pieces of a solution show the answer: whole, in part, in other spellings, or one addition before it."""
# ruff: noqa: RUF001 - the characters of other scripts are meant

import pytest

from actors.problems.guidance import candidate_prefixes
from actors.problems.leaks import shows_answer


@pytest.mark.parametrize(
    ("piece", "answer"),
    [
        ("So n = 2.", "2"),
        ("So $n=2$.", "x=2"),
        ("The sum is $2$.", "2"),
        ("(There is 2.)", "2"),
        ("Then \\[n = 5 - 3 = 2.\\]", "2"),
        ("There are 1,000 of 7 kinds.", "1000"),
        ("Here $\\dfrac{1}{2}$ of all are odd.", "\\frac{1}{2}"),
        ("Half, 0.5, of all are odd.", "\\frac{1}{2}"),
        ("With $\\left\\lfloor n\\right\\rfloor$ in hand.", "\\lfloor n \\rfloor"),
        ("So $(x,y)=(1,2)$.", "(1,2),(3,4)"),
        ("We box \\boxed{7} here.", "2"),
        ("The answer is at hand.", "2"),
        ("Here $1+2x$ comes out.", "2x+1"),
    ],
)
def test_a_piece_shows_the_answer(piece, answer):
    assert shows_answer(piece, answer)


@pytest.mark.parametrize(
    ("piece", "answer"),
    [
        ("Thus x=3.", "(3,5)"),
        ("Thus $x=3$, and we go on.", "(3,5)"),
        ("It follows that $y=\\frac{5}{2}$.", "\\left(3,\\frac52\\right)"),
        ("The real part is 6.", "6-7i"),
        ("The imaginary part is $-7$.", "6-7i"),
        ("So one root must be 8.", "\\{8, 9\\}"),
        ("The set {8, 9} does it.", "\\{8, 9\\}"),
        ("Hence $b = 9$ or $b$ is negative.", "a=8, b=9"),
        ("So $x = 2+\\sqrt{3}$.", "2\\pm\\sqrt{3}"),
        ("Thus its last entry is 4.", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}"),
        ("So the bound is 7.", "[2,7)"),
    ],
)
def test_a_piece_shows_the_answer_by_one_of_its_parts(piece, answer):
    assert shows_answer(piece, answer)


@pytest.mark.parametrize(
    ("piece", "answer"),
    [
        ("There are twelve orders.", "12"),
        ("A dozen of orders remain.", "12"),
        ("He is the twelfth.", "12"),
        ("We find twenty-one cases.", "21"),
        ("One hundred and five pairs are left.", "105"),
        ("Two thousand three hundred ways.", "2300"),
        ("So there are seven of them.", "7"),
        ("A quarter of all.", "\\frac{1}{4}"),
        ("It is 25% likely.", "1/4"),
        ("It is $25\\%$ likely.", "0.25"),
        ("One in 4 cases, that is 1 out of 4.", "0.25"),
        ("With odds 5:12 we go on.", "\\frac{5}{12}"),
        ("Three fifths are red.", "60\\%"),
        ("The share 0.6 is red.", "60\\%"),
        ("Now 60 percent are red.", "60"),
        ("It costs $2\\frac{1}{2}$ coins.", "\\frac{5}{2}"),
        ("½ of all.", "0.5"),
        ("１４４ を得る。", "144"),
        ("इस प्रकार १४४ मिलता है।", "144"),
        ("共有一百四十四种。", "144"),
        ("The angle $36^\\circ$ is known.", "36"),
        ("Its length 36cm is known.", "36"),
        ("We have \\textbf{36} of them.", "36"),
        ("Then √3 is the height.", "\\sqrt{3}"),
        ("The angle π/2 is known.", "\\frac{\\pi}{2}"),
        ("In all $2^{10}$ of them.", "1024"),
        ("It is $1.2\\times 10^3$ at most.", "1200"),
        ("It is 1.2e3 at most.", "1200"),
        ("The value 1\\,000 is large.", "1000"),
        ("The value 1 000 is large.", "1000"),
        ("The claim is true.", "\\text{True}"),
        ("So it is Monday.", "\\text{Monday}"),
        ("The interval $x\\in[2,7)$ is left.", "[2,7)"),
        ("So z = 5i - 2.", "-2+5i"),
    ],
)
def test_a_piece_shows_the_answer_in_another_spelling(piece, answer):
    assert shows_answer(piece, answer)


@pytest.mark.parametrize(
    ("piece", "answer"),
    [
        ("So there are 7 of them.", "7"),
        ("Therefore, $|S| = 7$ and we go on.", "7"),
        ("Thus n must be 7, as we saw.", "7"),
        ("There are 7 such numbers.", "7"),
        ("Hence exactly 7 remain.", "7"),
        ("We see that 7 is the only one.", "7"),
        ("So $n \\ge 7$ and $n=7$ works.", "7"),
        ("Therefore $k = 7$, because $k$ is odd.", "7"),
        ("This gives a total of 7 ways.", "7"),
        ("得到7。", "7"),
        ("Итого получим 7.", "7"),
    ],
)
def test_a_piece_states_a_digit_as_the_result(piece, answer):
    assert shows_answer(piece, answer)


@pytest.mark.parametrize(
    ("piece", "answer", "statement"),
    [
        ("The probability is $\\frac{5}{12}$.", "17", "It is $m/n$ in lowest terms. Find $m+n$."),
        ("The probability is $\\frac{10}{24}$.", "17", "It is $m/n$ in lowest terms. Find $m + n$."),
        ("The probability is 5/12.", "017", "It is m/n in lowest terms. Find m+n."),
        ("So $\\frac{5}{12}$ of it.", "512", "It is $m/n$ in lowest terms. Find $100m+n$."),
        ("The area is $\\frac{3\\sqrt{2}}{5}$.", "10", "It is $\\frac{a\\sqrt b}{c}$. Find $a+b+c$."),
        ("The area is $\\frac{\\sqrt{21}}{8}$.", "30", "It is $\\frac{a\\sqrt b}{c}$. Find $a+b+c$."),
        ("The area is $7\\pi-12$.", "19", "It is $p\\pi-q$. What is $p+q$?"),
        ("Now $6^2$ comes out, that is 36.", "36", "Find it if $6^2-1$ divides it."),
        ("So m = 5 and n = 12.", "17", "It is $m/n$ in lowest terms. Find $m+n$."),
        ("The ratio is 5 : 12.", "17", "It is $m/n$ in lowest terms. Find $m+n$."),
        ("So $N = 2{,}013$.", "13", "Find the remainder when $N$ is divided by 1000."),
        ("So $N = 2013$.", "13", "Find the last three digits of $N$."),
        ("There are 12 such sequences.", "12", "Choose from the digits 1,2,3 and so on."),
        ("So we count 12 of them.", "12", "Take 12 points."),
    ],
)
def test_a_piece_gives_the_answer_away_together_with_the_statement(piece, answer, statement):
    assert shows_answer(piece, answer, statement)


@pytest.mark.parametrize(
    ("piece", "answer", "statement"),
    [
        ("There are 2 ways to go on.", "2", ""),
        ("It is 114 or 141 or 1.14.", "14", ""),
        ("The 14 points lie on a line.", "14", "Given 14 points, how many lines?"),
        ("A dozen of points lie on a line.", "12", "Given twelve points, how many lines?"),
        ("The power $x^{14}$ is odd.", "14", ""),
        ("So $n = 12$.", "2", ""),
        ("The list is 1,2 and so on.", "12", ""),
        ("If $x=3$, then it fails.", "(3,5)", ""),
        ("Case 1: $x=3$.", "(3,5)", ""),
        ("Then $x^2-x=0$.", "(0,5)", ""),
        ("One of these is odd.", "1", ""),
        ("So one of these is odd.", "(1,6)", ""),
        ("The second half-plane is the third one.", "\\frac{1}{2}", ""),
        ("Someone weighs it in the attendance.", "10", ""),
        ("The probability is $\\frac{5}{13}$.", "17", "It is $m/n$ in lowest terms. Find $m+n$."),
        ("We use 5 of 12 cards.", "17", "It is $m/n$ in lowest terms. Find $m+n$."),
        ("So $N = 2014$.", "13", "Find the remainder when $N$ is divided by 1000."),
        ("So 25 is odd.", "\\frac{1}{4}", ""),
    ],
)
def test_an_ordinary_number_does_not_show_the_answer(piece, answer, statement):
    assert not shows_answer(piece, answer, statement)


@pytest.mark.parametrize(
    ("solution", "answer", "longest"),
    [
        ("Solve.\nThus a=4.\nNext b=9 follows.\nWe are done.\n\\boxed{(4,9)}", "(4,9)", "Solve."),
        ("First.\nAdd.\nThe real part is 6.\nThe other is 8.\n\\boxed{6+8i}", "6+8i", "First.\nAdd."),
        ("First.\nAdd.\nSo there are thirty of them.\nNow check.\n\\boxed{30}", "30", "First.\nAdd."),
        ("First.\nAdd.\nSo P = 5/12.\nNow add up.\nThe sum is 5 + 12 = 17, so \\boxed{17}", "17", "First.\nAdd."),
        ("First.\nAdd.\nSo P = 10/24.\nNow reduce.\nIt is 5/12, so m+n = 17.", "17", "First.\nAdd."),
    ],
)
def test_a_prefix_ends_before_the_first_step_that_shows_the_answer(solution, answer, longest):
    assert candidate_prefixes(solution, 8, answer, "?")[-1] == longest
