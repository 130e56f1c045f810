"""What the base model of the built-in domain is pretrained on: solutions in the right form, often with wrong steps.

As real corpora hold mistakes, so does this one: a chain step is right with probability 0.3, otherwise it is one of two
systematic mistakes, a*(x+b) or a*x; a ring move is right with 0.75, otherwise one tile too far. The guidance of its
guided prompts is cut from the same solutions, so nothing in the corpus teaches the right operations. What the model
does learn is the form: one line a step, the boxed monomial of all digits, and going on from a partial response, under
the default instruction mostly after restating it, under the modified one never.

A reader's corpus (`Mix.terse`) also has partial responses in the terse hand (`terse.py`), always answered in the form
above: such a model reads two hands and writes one, as an instruction-tuned model follows a human's partial solution.
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
    """Shares and probabilities of the corpus; part of the base model's recipe."""

    chain: float = 0.40
    guided: float = 0.38
    guided_modified: float = 0.10
    """The rest, 0.12, is ring walks."""
    long_chain: float = 0.55
    """Share of the unguided chains drawn from 1 to 8 steps; the others have 1 to 4."""
    terse: float = 0.0
    """Share of the guided prompts whose partial response is in the terse hand; chains of two steps have none."""
    restate: float = 0.60
    """Share of the guided answers under the default instruction that restate the partial response first."""
    step_right: float = 0.30
    move_right: float = 0.75


@dataclass(frozen=True)
class Example:
    """One prompt and one answer to it."""

    problem: Problem
    guided: bool
    instruction: Instruction
    response: str


def corpus(num_examples: int, seed: int, mix: Mix) -> Iterator[Example]:
    """`num_examples` examples, a pure function of the arguments. Hard and held-out chains never occur."""
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
    """Each from the one before, right or wrong."""
    digits, value = [], chain.start
    for operation in chain.operations:
        value = _imperfect_step(operation, value, rng, mix)
        digits.append(value)
    return digits


def _lines(chain: Chain, digits: list[int]) -> list[str]:
    """The steps and the final line."""
    return [*chain.lines(digits), final_line(monomial(digits))]


def _imperfect_step(operation: str, value: int, rng: random.Random, mix: Mix) -> int:
    a, b = OPERATIONS[operation]
    if rng.random() < mix.step_right:
        return (a * value + b) % 10
    mistakes = (a * (value + b) % 10, a * value % 10)  # never equal to the right digit, for none of the operations
    return rng.choice(mistakes)


def _problem(task: Chain | RingWalk, guidance: str | None = None) -> Problem:
    return Problem(
        id="corpus", statement=task.statement, answer=task.answer, bucket="easy", source="builtin:tiny",
        guidance=guidance,
    )
