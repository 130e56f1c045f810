"""Saves data that only Redis has during a run to the run folder when the run ends."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from broker.connection import with_retries
from broker.errors import PopeError
from conf.schema import RunConfig
from deploy.store.run_folder import RunFolder


@contextmanager
def saved_on_exit(
    path: Path, read: Callable[[], bytes], config: RunConfig, folder: RunFolder, console: Console
) -> Iterator[None]:
    """Removes the file, and on exit, also after an error, writes the result of `read` to it."""
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        try:
            content = with_retries(read, deadline_s=config.broker.connect_timeout_s)
        except PopeError as error:  # must not hide the error that ended the run
            console.print(f"  note: {path.name} was not written: {error}", highlight=False, markup=False)
        else:
            folder.save_bytes(path, content)
