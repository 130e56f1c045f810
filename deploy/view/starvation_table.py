"""`pope starvation`: rollouts by outcome for every bucket, arm and length, of a live or a finished run."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from actors.problems.mixture import ARM_BUCKET, weighted_round_robin
from broker.connection import Client
from broker.errors import PopeError, UsageError
from broker.group_outcomes import FAILED, FILTERED, IN_FLIGHT, REPLACED, STALE, TRAINED, read_group_outcomes
from broker.keys import Keys
from conf.schema import RunConfig
from deploy.statistics.starvation import StarvationRow, starvation, total
from deploy.store.run_folder import RunFolder
from deploy.store.run_redis import find_run, run_redis
from deploy.store.saved_on_exit import saved_on_exit

Rows = tuple[StarvationRow, ...]


def read_starvation(path: Path, url: str | None = None) -> Rows:
    """The table of the run in a folder: its file when the run is over, else its Redis; `url` as in `run_redis`.

    Raises UsageError when there is neither, PopeError when the run's notes are not complete.
    """
    folder, config = find_run(path)
    if url is None and folder.starvation.exists():
        return _load(folder.starvation)
    with run_redis(folder, config, url) as (client, keys):
        return _read(client, keys, config)


def starvation_saved(
    config: RunConfig, client: Client, folder: RunFolder, console: Console
) -> AbstractContextManager[None]:
    """While this lasts the run's Redis has the notes; afterwards its folder has the table, however the run ended."""
    keys = Keys(config.run.name)
    return saved_on_exit(folder.starvation, lambda: to_json(_read(client, keys, config)), config, folder, console)


def select(rows: Rows, arm: str | None) -> Rows:
    """The rows of one arm; all rows when `arm` is None. Raises UsageError for an arm that the run did not draw."""
    arms = sorted({row.arm for row in rows})
    if arm is not None and arm not in arms:
        raise UsageError(f"--arm {arm}: the run drew {', '.join(arms) or 'nothing yet'}")
    return tuple(row for row in rows if arm in (None, row.arm))


def to_json(rows: Rows) -> bytes:
    """A JSON list with one object per row."""
    return msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n"


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


def _read(client: Client, keys: Keys, config: RunConfig) -> Rows:
    fates = read_group_outcomes(client, keys)
    if problem := fates.inconsistency():
        raise PopeError(problem)
    cycle = weighted_round_robin(config.problems.arms)

    def drawn_as(group_id: int) -> tuple[str, str]:
        arm = cycle[group_id % len(cycle)]
        return ARM_BUCKET[arm], arm

    return starvation(fates, group_size=config.actors.group_size, drawn_as=drawn_as)


def _load(path: Path) -> Rows:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Rows)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is damaged: {error}; delete it to read the run's Redis instead") from error


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
