"""A word problem with its solution, and the parts of which every family makes one.

    Tom has 7 shells. He finds 4 more shells on the beach. His bucket weighs 3 pounds. Then he gives 2 shells to each of
    3 friends. How many shells does Tom have now?

    Adding 4 gives 7 + 4 = 11 shells. The friends get 3 * 2 = 6 shells. Taking away 6 leaves 11 - 6 = 5 shells. The
    answer is \\boxed{5}.
"""

import random
import re
from dataclasses import dataclass
from zlib import crc32

SMALLEST, LARGEST = 2, 60
"""Of every value in a story and its solution. No value is 1, so every noun is plural."""
UNSEEN_SHARE = 4
"""One story in so many is an unseen one."""


@dataclass(frozen=True)
class Event:
    """What happens in a sentence, apart from its words; `tests/actors/problems/story_interpreter.py` says what each
    does."""

    verb: str
    numbers: tuple[int, ...] = ()
    who: tuple[str, ...] = ()


@dataclass(frozen=True)
class Story:
    """A word problem of one family."""

    family: str
    sentences: tuple[str, ...]
    """Without the question. Sentences that do not matter are among them."""
    question: str
    steps: tuple[str, ...]
    """The solution: one sentence with one calculation each."""
    answer: int
    events: tuple[Event, ...]

    @property
    def statement(self) -> str:
        return " ".join((*self.sentences, self.question))

    @property
    def solution(self) -> str:
        return " ".join((*self.steps, f"The answer is \\boxed{{{self.answer}}}."))

    @property
    def key(self) -> str:
        """The family and what is calculated: stories that differ in words or names alone have the same key."""
        return f"{self.family} {[(event.verb, event.numbers) for event in self.events]}"

    @property
    def largest(self) -> int:
        """The largest number that is calculated with, or the answer. A number that does not matter may be larger."""
        return max(int(number) for step in self.steps for number in re.findall(r"\d+", step))

    @property
    def is_unseen(self) -> bool:
        """Whether the story is for evaluations only, by a hash of its key."""
        return crc32(self.key.encode()) % UNSEEN_SHARE == 0


class Unsuitable(Exception):
    """The numbers drawn give no good story: one is too large or too small, or the answer shows too early."""


@dataclass(frozen=True)
class Person:
    """A name with its pronouns."""

    name: str
    he: str
    his: str
    him: str

    @property
    def words(self) -> dict[str, str]:
        """Placeholders of sentences, such as {Name}, {he} and {His}."""
        return {"Name": self.name, "he": self.he, "his": self.his, "him": self.him, "His": self.his.capitalize()}


_GIRLS = ("Mia", "Anna", "Lucy", "Sara", "Emma", "Nina", "Rosa", "Ella", "Maya", "Kate", "Lily", "Ruth")
_BOYS = ("Tom", "Ben", "Sam", "Leo", "Max", "Jack", "Omar", "Paul", "Adam", "Noah", "Hugo", "Ivan")
PEOPLE = (
    *(Person(name, "she", "her", "her") for name in _GIRLS),
    *(Person(name, "he", "his", "him") for name in _BOYS),
)


_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def sentence(text: str) -> str:
    """The text with a capital at its beginning, where a small number is a word, and a full stop at its end."""
    text = re.sub(r"^([0-9]|1[0-2])(?= )", lambda number: _UNITS[int(number[0])], text)
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def checked(value: int) -> int:
    """The value. Raises Unsuitable when it is too small or too large."""
    if not SMALLEST <= value <= LARGEST:
        raise Unsuitable(str(value))
    return value


def finish(
    story: Story, values: list[int], rng: random.Random, asides: tuple[str, ...], words: dict[str, str]
) -> Story:
    """The story with a sentence that does not matter, every second time, after its first sentence or later.

    `values`: all numbers of the story and its solution but the answer; raises Unsuitable if the answer is among them.
    """
    if story.answer in values:
        raise Unsuitable("the answer stands in the story")
    if not asides or len(story.steps) == 1 or rng.random() < 0.5:
        return story
    number = rng.choice([n for n in range(3, 40) if n != story.answer and n not in values])
    aside = sentence(rng.choice(asides).format(**words, d=number))
    place = rng.randint(1, len(story.sentences))
    sentences = (*story.sentences[:place], aside, *story.sentences[place:])
    return Story(story.family, sentences, story.question, story.steps, story.answer, story.events)
