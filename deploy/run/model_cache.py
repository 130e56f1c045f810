"""The folders of the built-in models: each is made once, by one process, and appears only when it is complete."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from broker.errors import UsageError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """An exclusive file lock, which the kernel releases when the process ends. Raises UsageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise UsageError(
            f"model.cache_dir={path.parent}: the base model cannot be written there ({error.strerror}); "
            "name a folder that can be written"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def published(folder: Path) -> Iterator[Path]:
    """A scratch folder beside `folder`, which is renamed to it if no error ends the block, and else removed."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield scratch
        scratch.chmod(0o755)
        os.rename(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
