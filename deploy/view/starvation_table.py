"""`pope starvation`: rollouts by outcome for every bucket, arm and length, of a live or a finished run."""

from collections.abc import Callable
from itertools import groupby

from rich import box
from rich.table import Table

from broker.errors import UsageError
from broker.group_outcomes import FAILED, FILTERED, IN_FLIGHT, REPLACED, STALE, TRAINED
from deploy.statistics.starvation import StarvationRow, total
from deploy.store.starvation_file import Rows


def select(rows: Rows, arm: str | None) -> Rows:
    """The rows of one arm; all rows when `arm` is None. Raises UsageError for an arm that the run did not draw."""
    arms = sorted({row.arm for row in rows})
    if arm is not None and arm not in arms:
        raise UsageError(f"--arm {arm}: the run drew {', '.join(arms) or 'nothing yet'}")
    return tuple(row for row in rows if arm in (None, row.arm))


def table(rows: Rows, run: str) -> Table:
    """For each arm its total, then its rollouts by length. Each share is in percent of the row's rollouts."""
    title = f"{run}: rollouts by outcome and length in tokens; % of the rollouts of each row"
    result = Table(title=title, title_justify="left", box=box.SIMPLE, padding=(0, 0, 0, 1))
    result.add_column("", no_wrap=True)
    for name in ("rollouts", *_SHARES):
        result.add_column(name, justify="right", no_wrap=True)
    for (bucket, arm), of_arm in groupby(rows, key=lambda row: (row.bucket, row.arm)):
        parts = list(of_arm)
        result.add_row(f"{bucket}/{arm}", *_numbers(total(parts)), style="bold")
        for row in parts:
            result.add_row(f"  {_length(row)}", *_numbers(row))
        result.add_section()
    return result


def _ended(*prefixes: str) -> Callable[[StarvationRow], int]:
    return lambda row: sum(count for end, count in row.ended.items() if end.startswith(prefixes))


_SHARES: dict[str, Callable[[StarvationRow], int]] = {
    "trained": _ended(TRAINED),
    "filtered": _ended(FILTERED),
    "replaced": _ended(REPLACED),
    "stale": _ended(STALE),
    "failed": _ended(FAILED),
    "in flight": _ended(IN_FLIGHT),
    "cut off": lambda row: row.truncated,
    "unjudged": lambda row: row.verifier_failure,
}
"""Column -> number of its rollouts in a row."""


def _numbers(row: StarvationRow) -> list[str]:
    shares = (100 * count(row) / row.rollouts for count in _SHARES.values())
    return [str(row.rollouts), *(f"{share:.1f}" if share else "" for share in shares)]


def _length(row: StarvationRow) -> str:
    if row.tokens is None:
        return "not written"
    low, high = row.tokens
    return f"{low}-{high}" if low < high else str(low)
