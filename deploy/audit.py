"""`pope audit`: the balance of a run, read from its own Redis."""

from pathlib import Path

from broker.balance import Balance, read_balance
from broker.connection import connect
from broker.errors import UsageError
from broker.keys import Keys
from conf.load import load
from deploy.redis_server import EmbeddedRedis, running_url
from deploy.run_folder import RunFolder


def audit(path: Path) -> Balance:
    """The balance of a live or finished run. Raises UsageError when the folder holds no run."""
    folder = RunFolder(path)
    if not folder.settings.exists():
        raise UsageError(f"{path} holds no run: name the folder that holds settings.yaml, such as runs/pope")
    config = load(folder.settings)
    keys = Keys(config.run.name)
    url = config.broker.url or running_url(folder.redis)
    if url:
        return read_balance(connect(url, client_name="audit"), keys)
    with EmbeddedRedis(folder.redis, max_memory_gib=config.broker.max_memory_gib) as server:
        return read_balance(connect(server.url, client_name="audit"), keys)
