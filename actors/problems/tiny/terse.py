"""The terse oracle style of the built-in domain, which imitates a solution written by a person.

A sentence has two steps, no variable is named before the last sentence, and all wording differs from the style of the
base model (`Chain.solution`):

    Starting from 6, K gives 4 and then G gives 0. Applying H turns that into 4, and F turns it into 3. One more G
    leaves 3. Read off in order, these digits make $\\boxed{a^4b^0c^4d^3f^3}$.

The solution is one line. Guidance ends with a sentence, so it has an even number of steps.
"""

from actors.problems.tiny.chains import Chain


def terse_solution(chain: Chain) -> str:
    """The solution of a chain in the terse style; digits and final answer as in `chain.solution`."""
    sentences = terse_sentences(chain, chain.digits)
    return " ".join([*sentences, f"Read off in order, these digits make $\\boxed{{{chain.answer}}}$."])


def terse_sentences(chain: Chain, digits: list[int]) -> list[str]:
    """One sentence per two steps with the given intermediate digits, which may be wrong."""
    steps = list(zip(chain.operations, digits, strict=True))
    pairs = [steps[first : first + 2] for first in range(0, len(steps), 2)]
    return [_opening(chain.start, pairs[0]), *map(_sentence, pairs[1:])]


def _opening(start: int, steps: list[tuple[str, int]]) -> str:
    """The sentence of the first one or two steps."""
    gives = " and then ".join(f"{operation} gives {digit}" for operation, digit in steps)
    return f"Starting from {start}, {gives}."


def _sentence(steps: list[tuple[str, int]]) -> str:
    """The sentence of two later steps, or of the last of an odd number."""
    if len(steps) == 1:
        operation, digit = steps[0]
        return f"One more {operation} leaves {digit}."
    (first, digit), (second, last) = steps
    return f"Applying {first} turns that into {digit}, and {second} turns it into {last}."
