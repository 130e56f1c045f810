"""Stories that compare people: each has more, fewer or several times as many as the one before."""

import itertools
import random

from actors.problems.stories.story import PEOPLE, Event, Person, Story, Unsuitable, checked, finish, sentence

NAME = "people"
_THINGS = ("marbles", "stickers", "shells", "pencils", "balloons", "toy cars", "points", "crayons", "badges")
_TIMES = {2: "twice", 3: "three times", 4: "four times"}
_ASIDES = (
    "Their school has {d} classrooms.", "It is {d} miles from their town to the sea.", "Their room is {d} feet long.",
)  # fmt: skip
_START = ("{one} has {n} {things}.", "{one} owns {n} {things}.", "There are {n} {things} in {one}'s bag.")


def people_story(num_steps: int, rng: random.Random) -> Story:
    """A story whose solution has exactly `num_steps` calculations. Raises Unsuitable when the numbers do not fit."""
    together = num_steps > 1 and rng.random() < 0.5
    people = rng.sample(PEOPLE, num_steps - together + 1)
    things = rng.choice(_THINGS)
    amount = rng.randint(3, 15)
    sentences = [rng.choice(_START).format(one=people[0].name, n=amount, things=things)]
    steps: list[str] = []
    events = [Event("has", (amount,), (people[0].name,))]
    values = [amount]
    for before, one in itertools.pairwise(people):
        event, said, solved, after = _compare(before, one, amount, things, rng)
        events.append(event)
        sentences.append(said)
        steps.append(solved)
        values += [*event.numbers, after]
        amount = after
    answer, last = amount, people[-1]
    question = rng.choice(
        (f"How many {things} does {last.name} have?", f"Find the number of {things} that {last.name} has.")
    )
    if together:
        other = values[-3] if len(people) > 2 else values[0]
        answer = checked(other + amount)
        names = f"{people[-2].name} and {last.name}"
        question = f"How many {things} do {names} have together?"
        steps.append(f"Together, {names} have {other} + {amount} = {answer} {things}.")
        events.append(Event("together", (), (people[-2].name, last.name)))
    else:
        values.pop()
        events.append(Event("asked", (), (last.name,)))
    story = Story(NAME, tuple(sentences), question, tuple(steps), answer, tuple(events))
    return finish(story, values, rng, _ASIDES, {})


def _compare(
    before: Person, one: Person, amount: int, things: str, rng: random.Random
) -> tuple[Event, str, str, int]:
    """(event, sentence of the statement, sentence of the solution, amount of `one`)."""
    verb, n = rng.choice(("more", "more", "fewer", "fewer", "times")), rng.randint(2, 9)
    who = (one.name, before.name)
    if verb == "times":
        n = rng.choice(list(_TIMES))
        after = checked(n * amount)
        said = f"{one.name} has {_TIMES[n]} as many {things} as {before.name}."
        return Event(verb, (n,), who), said, f"{one.name} has {n} * {amount} = {after} {things}.", after
    after, sign = checked(amount + n if verb == "more" else amount - n), "+" if verb == "more" else "-"
    if amount == n:
        raise Unsuitable("the same number twice")
    said = rng.choice((
        f"{one.name} has {n} {verb} {things} than {before.name}.",
        sentence(f"compared with {before.name}, {one.name} has {n} {verb} {things}"),
    ))  # fmt: skip
    return Event(verb, (n,), who), said, f"{one.name} has {amount} {sign} {n} = {after} {things}.", after
