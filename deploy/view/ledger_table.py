"""`pope ledger`: attempts and successes of every problem under every arm, of a live or a finished run."""

from collections.abc import Callable
from typing import Literal

from rich.table import Table

from broker.errors import UsageError
from broker.ledger import LedgerRow
from deploy.statistics.transfer import RECENT_GROUPS
from deploy.store.ledger_file import RunLedger, posterior

SHOWN_OUTCOMES = 6
"""Newest groups that the table shows; the JSON holds all that the ledger kept."""

Order = Literal["problem", "rate", "attempts", "first-solve", "recent"]


def select(
    ledger: RunLedger, *, arm: str | None = None, order: Order = "problem", limit: int | None = None
) -> RunLedger:
    """The ledger with the rows of one arm, in another order, cut to the first `limit`.

    `rate` sorts by success, lowest first; `recent` the same over the newest `RECENT_GROUPS` groups; `attempts` most
    first; `first-solve` earliest first. Raises UsageError for an arm that is not in the ledger.
    """
    rows = list(ledger.rows)
    if arm is not None:
        arms = sorted({row.arm for row in rows})
        if arm not in arms:
            raise UsageError(f"--arm {arm}: the ledger of {ledger.run} has {', '.join(arms) or 'no rows yet'}")
        rows = [row for row in rows if row.arm == arm]
    rows.sort(key=_ORDERS[order])
    return RunLedger(run=ledger.run, step=ledger.step, rows=tuple(rows[:limit]))


def table(ledger: RunLedger) -> Table:
    """One row per problem and arm; rates are percent."""
    result = Table(title=f"{ledger.run}: problems by arm after {ledger.step} steps", title_justify="left")
    result.add_column("problem")
    result.add_column("arm")
    for name in ("attempts", "successes", "rate", "95 % interval", "first solve"):
        result.add_column(name, justify="right")
    result.add_column("newest groups")
    for row in ledger.rows:
        lower, upper = posterior(row)
        newest = row.last[-SHOWN_OUTCOMES:]
        outcomes = " ".join(f"{outcome.successes}/{outcome.judged}" for outcome in newest)
        result.add_row(
            row.problem_id,
            row.arm,
            str(row.attempts),
            str(row.successes),
            f"{_rate(row):.1%}" if row.attempts else "",
            f"{100 * lower:.1f} to {100 * upper:.1f}",
            "never" if row.first_solve_step is None else f"step {row.first_solve_step}",
            f"{outcomes} at step {newest[-1].step}" if newest else "",
        )
    return result


def _rate(row: LedgerRow) -> float:
    return row.successes / row.attempts if row.attempts else 0.0


def _recent_rate(row: LedgerRow) -> float:
    newest = row.last[-RECENT_GROUPS:]
    judged = sum(outcome.judged for outcome in newest)
    return sum(outcome.successes for outcome in newest) / judged if judged else 0.0


def _first_solve(row: LedgerRow) -> tuple[bool, int]:
    return row.first_solve_step is None, row.first_solve_step or 0


_ORDERS: dict[str, Callable[[LedgerRow], tuple[object, ...]]] = {
    "problem": lambda row: (row.problem_id, row.arm),
    "rate": lambda row: (_rate(row), row.problem_id, row.arm),
    "attempts": lambda row: (-row.attempts, row.problem_id, row.arm),
    "first-solve": lambda row: (*_first_solve(row), row.problem_id, row.arm),
    "recent": lambda row: (_recent_rate(row), row.problem_id, row.arm),
}
