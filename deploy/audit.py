"""`pope audit`: the balance of a run, read from its own Redis."""

from pathlib import Path

from broker.balance import Balance, read_balance
from deploy.run_redis import find_run, run_redis


def audit(path: Path, url: str | None = None) -> Balance:
    """The balance of a live or finished run; `url` as in `run_redis`. Raises UsageError when there is none to read."""
    folder, config = find_run(path)
    with run_redis(folder, config, url) as (client, keys):
        return read_balance(client, keys)
