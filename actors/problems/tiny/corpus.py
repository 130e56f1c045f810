"""The pretraining corpus of the built-in domain's base model: solutions in the correct form, often with wrong steps.

Like a real corpus it has mistakes: a chain step is correct with probability 0.3 and otherwise one of two systematic
mistakes, a*(x+b) or a*x; a ring move is correct with probability 0.75 and otherwise one tile too far. The partial
responses of guided prompts are cut from the same imperfect solutions, so the corpus does not teach the correct
operations. The model learns the form: one line per step, the boxed monomial of all digits, and the continuation of a
partial response, which it mostly restates first under the default instruction and never under the modified one.

With `Mix.terse` above 0 (the model builtin:tiny-reader) some partial responses are in the terse style (`terse.py`), and
all responses are in the form above. Such a model can continue solutions of both styles but writes only one, like an
instruction-tuned model that continues a partial solution written by a person.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from actors.problems.tiny.chains import MAX_STEPS, OPERATIONS, Chain, draw_chain, final_line, monomial
from actors.problems.tiny.ring_walk import MOVES, RingWalk, draw_walk, stop_line
from actors.problems.tiny.terse import terse_sentences
from actors.prompts import Instruction
from broker.records import Problem


@dataclass(frozen=True)
class Mix:
    """Shares and probabilities of the corpus."""

    chain: float = 0.40
    guided: float = 0.38
    guided_modified: float = 0.10
    """`chain`, `guided`, `guided_modified`: shares of the examples. The rest, 0.12, are ring walks."""
    long_chain: float = 0.55
    """Share of the unguided chains that have 1 to 8 steps; the others have 1 to 4."""
    terse: float = 0.0
    """Share of the guided prompts with a partial response in the terse style, among chains of three or more steps."""
    restate: float = 0.60
    """Share of the guided responses under the default instruction that restate the partial response first."""
    step_right: float = 0.30
    move_right: float = 0.75


@dataclass(frozen=True)
class Example:
    """One prompt, given by its problem and instruction, and a response."""

    problem: Problem
    guided: bool
    instruction: Instruction
    response: str


def corpus(num_examples: int, seed: int, mix: Mix) -> Iterator[Example]:
    """`num_examples` examples, a pure function of the arguments, without any hard or held-out chain."""
    rng = random.Random(f"corpus/{seed}")
    for _ in range(num_examples):
        kind = rng.random()
        if kind < mix.chain:
            yield _unguided_chain(rng, mix)
        elif kind < mix.chain + mix.guided:
            yield _guided_chain(rng, mix, "default")
        elif kind < mix.chain + mix.guided + mix.guided_modified:
            yield _guided_chain(rng, mix, "modified")
        else:
            yield _ring_walk(rng, mix)


def _unguided_chain(rng: random.Random, mix: Mix) -> Example:
    longest = MAX_STEPS if rng.random() < mix.long_chain else 4
    chain = _other_chain(rng, 1, longest)
    lines = _lines(chain, _imperfect_digits(chain, rng, mix))
    return Example(_problem(chain), False, "default", "\n".join(lines))


def _guided_chain(rng: random.Random, mix: Mix, instruction: Instruction) -> Example:
    chain = _other_chain(rng, 2, MAX_STEPS)
    digits = _imperfect_digits(chain, rng, mix)
    lines = _lines(chain, digits)
    num_steps = len(chain.operations)
    if mix.terse and num_steps > 2 and rng.random() < mix.terse:
        num_sentences = rng.randint(1, (num_steps - 1) // 2)
        given, guidance = 2 * num_sentences, " ".join(terse_sentences(chain, digits)[:num_sentences])
    else:
        given = rng.randint(1, num_steps - 1)
        guidance = "\n".join(lines[:given])
    restates = instruction == "default" and rng.random() < mix.restate
    response = lines if restates else lines[given:]
    return Example(_problem(chain, guidance), True, instruction, "\n".join(response))


def _ring_walk(rng: random.Random, mix: Mix) -> Example:
    walk = draw_walk(rng)
    tiles, tile = [], walk.start
    for move in walk.moves:
        tile = (tile + MOVES[move] + (rng.random() >= mix.move_right)) % 10
        tiles.append(tile)
    lines = [*walk.lines(tiles), stop_line(tile)]
    return Example(_problem(walk), False, "default", "\n".join(lines))


def _other_chain(rng: random.Random, shortest: int, longest: int) -> Chain:
    while True:
        chain = draw_chain(rng, rng.randint(shortest, longest))
        if chain.split == "other":
            return chain


def _imperfect_digits(chain: Chain, rng: random.Random, mix: Mix) -> list[int]:
    """The digit after each step, computed from the previous digit, with random mistakes."""
    digits, value = [], chain.start
    for operation in chain.operations:
        value = _imperfect_step(operation, value, rng, mix)
        digits.append(value)
    return digits


def _lines(chain: Chain, digits: list[int]) -> list[str]:
    """The lines of the steps and the final line."""
    return [*chain.lines(digits), final_line(monomial(digits))]


def _imperfect_step(operation: str, value: int, rng: random.Random, mix: Mix) -> int:
    a, b = OPERATIONS[operation]
    if rng.random() < mix.step_right:
        return (a * value + b) % 10
    mistakes = (a * (value + b) % 10, a * value % 10)  # differ from the right digit for every operation and x
    return rng.choice(mistakes)


def _problem(task: Chain | RingWalk, guidance: str | None = None) -> Problem:
    return Problem(
        id="corpus", statement=task.statement, answer=task.answer, bucket="easy", source="builtin:tiny",
        guidance=guidance,
    )
