"""The ledger of a run in its folder: ledger.json, which is written when the run ends."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from actors.evaluation.intervals import Interval, jeffreys
from broker.balance import read_balance
from broker.connection import Client
from broker.errors import UsageError
from broker.keys import Keys
from broker.ledger import Ledger, LedgerRow
from conf.schema import RunConfig
from deploy.statistics.transfer import Transfer, transfer
from deploy.store.run_folder import RunFolder
from deploy.store.saved_on_exit import saved_on_exit

SCHEMA = 1


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


def posterior(row: LedgerRow, confidence: float = 0.95) -> Interval:
    """Equal-tailed interval for the solve rate under the prior Beta(1/2, 1/2).

    All attempts have the same weight, so the rate is a mean over the policies that made them; `row.last` has its recent
    course.
    """
    return jeffreys(row.successes, row.attempts, confidence)


def to_json(ledger: RunLedger, whole: RunLedger | None = None) -> bytes:
    """The rows with their 95 % posterior intervals, and the transfer of `whole` (default: of the same ledger).

    `whole`: the complete ledger, when `ledger` is a selection of its rows.
    """
    rows = [{**msgspec.to_builtins(row), "posterior": posterior(row)} for row in ledger.rows]
    content = msgspec.to_builtins(ledger) | {"transfer": (whole or ledger).transfer, "rows": rows}
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def ledger_in_redis(client: Client, keys: Keys, run: str) -> RunLedger:
    """Reads the ledger of a run from Redis."""
    return RunLedger(run=run, step=read_balance(client, keys).committed, rows=tuple(Ledger(client, keys).rows()))


def load_ledger(path: Path) -> RunLedger:
    """The ledger of a finished run. Raises UsageError for a damaged file."""
    try:
        ledger = msgspec.json.decode(path.read_bytes(), type=RunLedger)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is damaged: {error}; delete it to read the run's Redis instead") from error
    if ledger.schema != SCHEMA:
        raise UsageError(f"{path} has schema {ledger.schema}, this program reads {SCHEMA}; delete it to read Redis")
    return ledger


def ledger_saved(
    config: RunConfig, client: Client, folder: RunFolder, console: Console
) -> AbstractContextManager[None]:
    """`saved_on_exit` for the ledger."""
    name = config.run.name
    return saved_on_exit(
        folder.ledger, lambda: to_json(ledger_in_redis(client, Keys(name), name)), config, folder, console
    )
