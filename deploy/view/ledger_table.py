"""`pope ledger`: attempts and successes of every problem under every arm, of a live or a finished run."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

from actors.evaluation.intervals import Interval, jeffreys
from broker.balance import read_balance
from broker.connection import Client
from broker.errors import UsageError
from broker.keys import Keys
from broker.ledger import Ledger, LedgerRow
from conf.schema import RunConfig
from deploy.statistics.transfer import RECENT_GROUPS, Transfer, transfer
from deploy.store.run_folder import RunFolder
from deploy.store.run_redis import find_run, run_redis
from deploy.store.saved_on_exit import saved_on_exit

SCHEMA = 1
SHOWN_OUTCOMES = 6
"""Newest groups that the table shows; the JSON holds all that the ledger kept."""

Order = Literal["problem", "rate", "attempts", "first-solve", "recent"]


@dataclass(frozen=True)
class RunLedger:
    """The ledger of one run at one moment."""

    run: str
    step: int
    """Newest trained step."""
    rows: tuple[LedgerRow, ...]
    """Ordered by problem and arm."""
    schema: int = SCHEMA

    @property
    def transfer(self) -> Transfer | None:
        return transfer(self.rows)


def read_ledger(path: Path, url: str | None = None) -> RunLedger:
    """The ledger of the run in a folder: its file when the run is over, else its Redis; `url` as in `run_redis`.

    A run that was killed leaves no file; its Redis is read then. A `url` always asks Redis.
    Raises UsageError when there is neither.
    """
    folder, config = find_run(path)
    if url is None and folder.ledger.exists():
        return load_ledger(folder.ledger)
    with run_redis(folder, config, url) as (client, keys):
        return _read(client, keys, config.run.name)


def ledger_saved(
    config: RunConfig, client: Client, folder: RunFolder, console: Console
) -> AbstractContextManager[None]:
    """While this lasts the run's Redis has the ledger; afterwards its folder does, however the run ended."""
    name = config.run.name
    return saved_on_exit(folder.ledger, lambda: to_json(_read(client, Keys(name), name)), config, folder, console)


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


def posterior(row: LedgerRow, confidence: float = 0.95) -> Interval:
    """Equal-tailed interval for the solve rate under the prior Beta(1/2, 1/2).

    All attempts count alike, so the rate is the mean over the policies that made them; `row.last` shows its course.
    """
    return jeffreys(row.successes, row.attempts, confidence)


def to_json(ledger: RunLedger, whole: RunLedger | None = None) -> bytes:
    """Rows with their 95 % posterior intervals, and transfer; of `whole`, where the rows are a selection."""
    rows = [{**msgspec.to_builtins(row), "posterior": posterior(row)} for row in ledger.rows]
    content = msgspec.to_builtins(ledger) | {"transfer": (whole or ledger).transfer, "rows": rows}
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


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


def _read(client: Client, keys: Keys, name: str) -> RunLedger:
    return RunLedger(run=name, step=read_balance(client, keys).committed, rows=tuple(Ledger(client, keys).rows()))


def load_ledger(path: Path) -> RunLedger:
    """The ledger of a run that is over. Raises UsageError for a damaged file."""
    try:
        ledger = msgspec.json.decode(path.read_bytes(), type=RunLedger)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is damaged: {error}; delete it to read the run's Redis instead") from error
    if ledger.schema != SCHEMA:
        raise UsageError(f"{path} has schema {ledger.schema}, this program reads {SCHEMA}; delete it to read Redis")
    return ledger


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
