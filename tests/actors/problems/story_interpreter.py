"""What the events of a story do to its amounts, written without the code that draws stories."""

from actors.problems.stories.story import Event


def answer(events: tuple[Event, ...]) -> int:
    """What the story asks for."""
    amount, spent = 0, 0
    owned: dict[str, int] = {}
    for event in events:
        match event.verb, event.numbers:
            case "start", (n,):
                amount = n
            case "start_groups", (k, n):
                amount = sum([n] * k)
            case "gain", (n,):
                amount += n
            case "lose", (n,):
                amount -= n
            case "gain_groups", (k, n):
                amount += k * n
            case "lose_groups", (k, n):
                amount -= k * n
            case "double", ():
                amount += amount
            case "halve", ():
                amount = _divided(amount, 2)
            case "share", (k,):
                amount = _divided(amount, k)
            case "sell", (k,):
                amount *= k
            case "missing", (k,):
                amount = k - amount
            case "has", (n,):
                owned[event.who[0]] = n
            case "more", (n,):
                owned[event.who[0]] = owned[event.who[1]] + n
            case "fewer", (n,):
                owned[event.who[0]] = owned[event.who[1]] - n
            case "times", (n,):
                owned[event.who[0]] = owned[event.who[1]] * n
            case "asked", ():
                amount = owned[event.who[0]]
            case "together", ():
                amount = sum(owned[name] for name in event.who)
            case "buy", (k, price):
                spent += k * price
                amount = spent
            case "pay", (bill,):
                amount = bill - spent
            case "owns", (money,):
                amount = spent - money
            case _:
                raise AssertionError(f"no meaning for {event}")
    return amount


def _divided(amount: int, parts: int) -> int:
    assert amount % parts == 0
    return amount // parts
