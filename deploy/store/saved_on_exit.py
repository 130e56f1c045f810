"""What only Redis holds while a run goes on, and what its folder keeps afterwards."""

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
    """Remove the file, and write what `read` returns to it on exit, also after an error."""
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
