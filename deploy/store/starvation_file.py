"""The starvation table of a run in its folder: starvation.json, which is written when the run ends."""

from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
from rich.console import Console

from actors.problems.mixture import ARM_BUCKET, weighted_round_robin
from broker.connection import Client
from broker.errors import PopeError, UsageError
from broker.group_outcomes import read_group_outcomes
from broker.keys import Keys
from conf.schema import RunConfig
from deploy.statistics.starvation import StarvationRow, starvation
from deploy.store.run_folder import RunFolder
from deploy.store.saved_on_exit import saved_on_exit

Rows = tuple[StarvationRow, ...]


def to_json(rows: Rows) -> bytes:
    """A JSON list with one object per row."""
    return msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n"


def starvation_in_redis(client: Client, keys: Keys, config: RunConfig) -> Rows:
    """Computes the table from Redis. Raises PopeError when the records contradict the counters."""
    outcomes = read_group_outcomes(client, keys)
    if inconsistency := outcomes.inconsistency():
        raise PopeError(inconsistency)
    cycle = weighted_round_robin(config.problems.arms)

    def bucket_and_arm(group_id: int) -> tuple[str, str]:
        arm = cycle[group_id % len(cycle)]
        return ARM_BUCKET[arm], arm

    return starvation(outcomes, group_size=config.actors.group_size, bucket_and_arm=bucket_and_arm)


def load_starvation(path: Path) -> Rows:
    """The table of a finished run. Raises UsageError for a damaged file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Rows)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is damaged: {error}; delete it to read the run's Redis instead") from error


def starvation_saved(
    config: RunConfig, client: Client, folder: RunFolder, console: Console
) -> AbstractContextManager[None]:
    """`saved_on_exit` for the table."""
    keys = Keys(config.run.name)
    return saved_on_exit(
        folder.starvation, lambda: to_json(starvation_in_redis(client, keys, config)), config, folder, console
    )
