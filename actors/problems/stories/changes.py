"""Stories about one amount that changes: it grows, shrinks, doubles, and is shared in the end.

A `Scene` holds the words of one family. `change_story` draws what happens and the numbers.
"""

import random
from dataclasses import dataclass, field

from actors.problems.stories.story import PEOPLE, Event, Story, Unsuitable, checked, finish, sentence

COST = {"gain": 1, "lose": 1, "double": 1, "halve": 1, "gain_groups": 2, "lose_groups": 2}
"""Kind of a change -> its calculations."""
_WEIGHT = {"gain": 4, "lose": 4, "double": 1, "halve": 1, "gain_groups": 3, "lose_groups": 3}

_SOLVED = {
    "gain": (
        "adding {n} gives {a} + {n} = {b} {things}",
        "with {n} more, there are {a} + {n} = {b} {things}",
        "that makes {a} + {n} = {b} {things}",
    ),
    "lose": (
        "taking away {n} leaves {a} - {n} = {b} {things}",
        "without those {n}, there are {a} - {n} = {b} {things}",
        "that leaves {a} - {n} = {b} {things}",
    ),
    "double": ("doubling {a} gives 2 * {a} = {b} {things}", "twice as many are 2 * {a} = {b} {things}"),
    "halve": ("half of {a} is {a} / 2 = {b} {things}", "halving leaves {a} / 2 = {b} {things}"),
}
"""Kind of a change -> how the solution says it: from {a} to {b} {things}."""


@dataclass(frozen=True)
class Groups:
    """A sentence with {k} groups of {n}, and how the solution says the product {p}."""

    text: str
    product: str


@dataclass(frozen=True)
class Ending:
    """What may be asked instead of the amount: how it is shared, what it sells for, or what is missing.

    `verb`: share (by {k}), sell (at {k} each) or missing (up to {k}).
    """

    verb: str
    text: str
    question: str
    solved: str


@dataclass(frozen=True)
class Scene:
    """The words of one family. Sentences of changes begin with a small letter, because a link such as "then" may come
    before them; {Name} is the person, {things} the plural of what is counted."""

    name: str
    things: tuple[str, ...]
    start: tuple[str, ...]
    start_groups: tuple[Groups, ...]
    gain: tuple[str, ...]
    lose: tuple[str, ...]
    gain_groups: tuple[Groups, ...]
    lose_groups: tuple[Groups, ...]
    asked: tuple[str, ...]
    asides: tuple[str, ...]
    double: tuple[str, ...] = ()
    halve: tuple[str, ...] = ()
    endings: tuple[Ending, ...] = ()
    links: tuple[str, ...] = ("", "then ", "after that, ", "later, ", "in the evening, ", "the next day, ")
    starts: tuple[int, int] = field(default=(4, 20))
    """Smallest and largest amount at the beginning."""


def change_story(scene: Scene, num_steps: int, rng: random.Random) -> Story:
    """A story whose solution has exactly `num_steps` calculations. Raises Unsuitable when the numbers do not fit."""
    words = {**rng.choice(PEOPLE).words, "things": rng.choice(scene.things)}
    telling = _Telling(scene, words, rng)
    grouped, ending = _frame(scene, num_steps, rng)
    telling.begin(grouped)
    kinds = _plan(scene, num_steps - grouped - (ending is not None), rng)
    for kind, link in zip(kinds, _links(scene, len(kinds), rng), strict=True):
        telling.change(kind, link)
    question = telling.end(ending)
    story = Story(
        scene.name, tuple(telling.sentences), question, tuple(telling.steps), telling.amount, tuple(telling.events)
    )
    return finish(story, telling.values, rng, scene.asides, words)


def _frame(scene: Scene, num_steps: int, rng: random.Random) -> tuple[bool, Ending | None]:
    """(whether the story begins with groups, its ending), each of which is a calculation."""
    grouped = rng.random() < 0.5
    ending = rng.choice(scene.endings) if scene.endings and num_steps > grouped and rng.random() < 0.4 else None
    return grouped, ending


def _plan(scene: Scene, num_steps: int, rng: random.Random) -> list[str]:
    """Kinds of changes with this number of calculations together."""
    kinds: list[str] = []
    while left := num_steps - sum(COST[kind] for kind in kinds):
        possible = [kind for kind, cost in COST.items() if cost <= left and getattr(scene, kind)]
        possible = [kind for kind in possible if kinds.count(kind) < len(getattr(scene, kind))]
        if not possible:
            raise Unsuitable("too few sentences")
        kinds.append(rng.choices(possible, [_WEIGHT[kind] for kind in possible])[0])
    return kinds


def _links(scene: Scene, count: int, rng: random.Random) -> list[str]:
    """What comes before the sentences of the changes: the first link, then others in their order."""
    later = range(1, len(scene.links))
    chosen = sorted(rng.sample(later, min(max(count - 1, 0), len(later))))
    return ([scene.links[0], *(scene.links[place] for place in chosen)] + [""] * count)[:count]


class _Telling:
    """A story while it is told."""

    def __init__(self, scene: Scene, words: dict[str, str], rng: random.Random) -> None:
        self._scene, self._words, self._rng = scene, words, rng
        self._told: set[object] = set()
        self.sentences: list[str] = []
        self.steps: list[str] = []
        self.events: list[Event] = []
        self.values: list[int] = []
        self.amount = 0

    def begin(self, grouped: bool) -> None:
        if not grouped:
            start = self._rng.randint(*self._scene.starts)
            self._say(self._rng.choice(self._scene.start), n=start)
            self._happen("start", start)
            self._reach(start)
            return
        k, n = self._rng.randint(2, 6), self._rng.randint(3, 9)
        groups = self._rng.choice(self._scene.start_groups)
        self._say(groups.text, k=k, n=n)
        self._solve(groups.product, k=k, n=n, p=k * n)
        self._happen("start_groups", k, n)
        self._reach(k * n)

    def change(self, kind: str, link: str) -> None:
        said = self._rng.choice([said for said in getattr(self._scene, kind) if said not in self._told])
        self._told.add(said)
        if isinstance(said, Groups):
            k, n = self._rng.randint(2, 5), self._rng.randint(2, 6)
            self._say(link + said.text, k=k, n=n)
            self._solve(said.product, k=k, n=n, p=k * n)
            self._happen(kind, k, n)
            self.values.append(k * n)
            self._move(kind.removesuffix("_groups"), k * n)
        elif kind in ("double", "halve"):
            self._say(link + said)
            self._happen(kind)
            self._move(kind, 2)
        else:
            n = self._rng.randint(2, 9)
            self._say(link + said, n=n)
            self._happen(kind, n)
            self._move(kind, n)

    def end(self, ending: Ending | None) -> str:
        """Ask. Returns the question."""
        if ending is None:
            return sentence(self._rng.choice(self._scene.asked).format(**self._words))
        a, k = self.amount, self._rng.randint(2, 6)
        if ending.verb == "missing":
            k = checked(a + self._rng.randint(3, 15))
        elif ending.verb == "share" and a % k:
            raise Unsuitable("it cannot be shared")
        b = checked({"share": a // k, "sell": a * k, "missing": k - a}[ending.verb])
        if ending.text:
            self._say(ending.text, k=k)
        self._solve(ending.solved, a=a, k=k, b=b)
        self._happen(ending.verb, k)
        self.values.append(a)
        self.amount = b
        return sentence(ending.question.format(**self._words, k=k))

    def _move(self, kind: str, n: int) -> None:
        a = self.amount
        if kind == "halve" and a % 2:
            raise Unsuitable("it has no half")
        b = checked({"gain": a + n, "lose": a - n, "double": 2 * a, "halve": a // 2}[kind])
        known = [text for text in _SOLVED[kind] if text not in self._told] or list(_SOLVED[kind])
        solved = self._rng.choice(known)
        self._told.add(solved)
        self.values.append(a)
        self._solve(solved, a=a, n=n, b=b)
        self._reach(b)

    def _say(self, text: str, **numbers: int) -> None:
        self.sentences.append(sentence(text.format(**self._words, **numbers)))

    def _solve(self, text: str, **numbers: int) -> None:
        self.steps.append(sentence(text.format(**self._words, **numbers)))

    def _happen(self, verb: str, *numbers: int) -> None:
        self.events.append(Event(verb, numbers))
        self.values.extend(numbers)

    def _reach(self, amount: int) -> None:
        self.amount = checked(amount)
