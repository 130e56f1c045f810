from hypothesis import given
from hypothesis import strategies as st

from broker.ledger import LedgerRow, Outcome
from deploy.statistics.transfer import explain, transfer


def row(problem: str, arm: str, first: int | None, *last: int) -> LedgerRow:
    """First solved at step `first`; `last` are the successes of its newest groups of eight."""
    outcomes = tuple(Outcome(step, successes, 8) for step, successes in enumerate(last))
    return LedgerRow(problem, arm, 8 * len(last), sum(last), first, outcomes)


def both(problem: str, guided: int | None, unguided: int | None, *last: int) -> list[LedgerRow]:
    return [row(problem, "guided", guided, 1), row(problem, "unguided", unguided, *last)]


LEDGER = [
    *both("carried", 2, 5, 0, 0, 3, 8),
    *both("forgotten", 2, 5, 1, 0, 0, 0, 0),
    *both("guided only", 3, None, 0, 0),
    *both("alone", 4, 1, 1),
    *both("never with", None, 7, 1),
    *both("together", 6, 6, 1),
    *both("never", None, None, 0),
    row("not asked", "guided", 2, 1),
    row("robot", "easy", 0, 8),
]


def test_every_problem_is_in_its_class() -> None:
    found = transfer(LEDGER)
    assert found is not None
    assert found.guided_first == ("carried", "forgotten", "guided only", "not asked")
    assert found.then_unguided == ("carried", "forgotten")
    assert found.unguided_recently == ("carried",)
    assert found.recency_unknown == ()
    assert found.unguided_first == ("alone", "never with")
    assert found.same_step == ("together",)
    assert found.unsolved == ("never",)


def test_recently_is_a_number_of_groups() -> None:
    found = transfer(LEDGER, recent_groups=5)
    assert found is not None
    assert found.unguided_recently == ("carried", "forgotten")


def test_an_older_ledger_does_not_know_what_was_solved_recently() -> None:
    found = transfer([row("a", "guided", 1), LedgerRow("a", "unguided", 8, 1, 4)])
    assert found is not None
    assert (found.then_unguided, found.unguided_recently, found.recency_unknown) == (("a",), (), ("a",))
    assert explain(found.counts()).endswith("0 in one of the newest 4 groups (not known for 1)")


def test_a_run_without_guidance_has_no_transfer() -> None:
    assert transfer([row("a", "unguided", 1, 1)]) is None
    assert transfer([]) is None


def test_it_is_explained_in_one_line() -> None:
    found = transfer(LEDGER)
    assert found is not None
    assert explain(found.counts()) == (
        "transfer: of 4 problems first solved with guidance, 2 (50%) were since solved without, "
        "1 in one of the newest 4 groups"
    )
    nothing = transfer(both("a", None, 3, 1))
    assert nothing is not None
    assert explain(nothing.counts()) == "transfer: no problem was first solved with guidance"


STEP = st.none() | st.integers(0, 3)


@given(st.dictionaries(st.text(max_size=3), st.tuples(STEP, STEP), min_size=1))
def test_every_problem_is_in_one_class(firsts: dict[str, tuple[int | None, int | None]]) -> None:
    found = transfer([r for problem, (g, u) in firsts.items() for r in both(problem, g, u, 1)])
    assert found is not None
    classes = [*found.guided_first, *found.unguided_first, *found.same_step, *found.unsolved]
    assert sorted(classes) == sorted(firsts)
    assert set(found.unguided_recently) <= set(found.then_unguided) <= set(found.guided_first)
    assert all(firsts[p] == (None, None) for p in found.unsolved)
