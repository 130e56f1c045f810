"""What Redis knows of a run and its folder keeps, however the run ends."""

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
    """While this lasts the file is not there and Redis is asked; afterwards it holds what `read` then gave."""
    path.unlink(missing_ok=True)
    try:
        yield
    finally:
        try:
            content = with_retries(read, deadline_s=config.broker.connect_timeout_s)
        except PopeError as error:  # what ended the run must not be hidden by what it broke
            console.print(f"  note: {path.name} was not written: {error}", highlight=False, markup=False)
        else:
            folder.save_bytes(path, content)
