"""Stories about shopping: several things at a price each, single things, and the change."""

import random

from actors.problems.stories.story import PEOPLE, Event, Story, Unsuitable, checked, finish, sentence

NAME = "shopping"
_MANY = ("pens", "notebooks", "cakes", "sandwiches", "candles", "bottles of juice", "tickets", "cups", "roses")
_ONE = ("a book", "a hat", "a lamp", "an umbrella", "a map", "a ball", "a pizza", "an old chair")
_PLACES = ("at a market", "in a shop", "at a fair", "in a store")
_BILLS = (10, 20, 30, 40, 50, 60)
_ASIDES = (
    "The shop has been open for {d} years.", "There are {d} people in the street.",
    "{Name} walked for {d} minutes to get there.",
)  # fmt: skip
_MORE = ("{He} also buys {what}", "Then {he} buys {what}", "{He} buys {what}, too", "Finally, {he} takes {what}")


def shopping_story(num_steps: int, rng: random.Random) -> Story:
    """A story whose solution has exactly `num_steps` calculations. Raises Unsuitable when the numbers do not fit."""
    person = rng.choice(PEOPLE)
    words = {**person.words, "He": person.he.capitalize()}
    ending = rng.choice(("total", "change", "missing"))
    kinds = _kinds(num_steps - (ending != "total"), rng)
    many, one = rng.sample(_MANY, len(_MANY)), rng.sample(_ONE, len(_ONE))
    sentences: list[str] = []
    steps: list[str] = []
    events: list[Event] = []
    values: list[int] = []
    total = 0
    more = rng.sample(_MORE, len(_MORE))
    for place, kind in enumerate(kinds):
        k, price = (rng.randint(2, 6), rng.randint(2, 9)) if kind == "many" else (1, rng.randint(3, 15))
        things = many.pop() if kind == "many" else one.pop()
        what = f"{k} {things} for {price} dollars each" if kind == "many" else f"{things} for {price} dollars"
        if place == 0:
            sentences.append(f"{person.name} buys {what} {rng.choice(_PLACES)}.")
        else:
            sentences.append(sentence(more.pop().format(**words, what=what)))
        cost = checked(k * price)
        values += [k, price] if kind == "many" else [price]
        if kind == "many":
            steps.append(f"The {things} cost {k} * {price} = {cost} dollars.")
        events.append(Event("buy", (k, price)))
        if total:
            values += [total, cost]
            both = "Together this is" if place == 1 else "With that it is"
            steps.append(f"{both} {total} + {cost} = {checked(total + cost)} dollars.")
        total = checked(total + cost)
    answer, question = total, f"How many dollars does {person.name} spend?"
    if ending != "total":
        values.append(total)
        answer, question = _settle(ending, total, words, sentences, steps, events, values, rng)
    story = Story(NAME, tuple(sentences), question, tuple(steps), answer, tuple(events))
    return finish(story, values, rng, _ASIDES, words)


def _kinds(num_steps: int, rng: random.Random) -> list[str]:
    """What is bought, many or one of a kind, so that the total takes `num_steps` calculations."""
    if num_steps < 1:
        return ["one"]
    kinds = ["many" if num_steps % 2 or rng.random() < 0.5 else "one"]
    while (left := num_steps - _cost(kinds)) > 0:
        kinds.append(rng.choice(("many", "one")) if left > 1 else "one")
    if _cost(kinds) != num_steps or len(kinds) > len(_MORE) + 1:
        raise Unsuitable("another number of calculations, or too few sentences")
    rng.shuffle(kinds)
    return kinds


def _cost(kinds: list[str]) -> int:
    return kinds.count("many") + len(kinds) - 1


def _settle(
    ending: str, total: int, words: dict[str, str], sentences: list[str], steps: list[str], events: list[Event],
    values: list[int], rng: random.Random,
) -> tuple[int, str]:  # fmt: skip
    """Pay with a bill, or miss some money. Returns (answer, question)."""
    name, he = words["Name"], words["he"]
    if ending == "change":
        bill = rng.choice([bill for bill in _BILLS if bill > total + 1] or [0])
        answer = checked(bill - total)
        sentences.append(f"{name} pays with {bill} dollars.")
        steps.append(f"The change is {bill} - {total} = {answer} dollars.")
        events.append(Event("pay", (bill,)))
        values.append(bill)
        return answer, f"How many dollars does {he} get back?"
    owned = rng.randint(2, max(2, total - 2))
    answer = checked(total - owned)
    sentences.append(f"{name} has only {owned} dollars, and a friend pays the rest.")
    steps.append(f"The friend pays {total} - {owned} = {answer} dollars.")
    events.append(Event("owns", (owned,)))
    values.append(owned)
    return answer, "How many dollars does the friend pay?"
