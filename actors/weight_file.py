"""The file of announced weights under a name of the reader's own: the learner keeps only a few of its names."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from broker.records import WeightAnnouncement


@contextmanager
def held(announcement: WeightAnnouncement, holder: str) -> Iterator[WeightAnnouncement | None]:
    """The announcement with a hard link as its path: no copy, and there until the end whatever the learner publishes.

    None when the file is gone already. A link that a dead holder of this name left is replaced. An announcement of
    another backend is passed through.
    """
    if announcement.backend != "file":
        yield announcement
        return
    assert announcement.path is not None
    path = Path(announcement.path)
    own = path.with_name(f"held-by-{holder}.safetensors")
    own.unlink(missing_ok=True)
    try:
        os.link(path, own)
    except FileNotFoundError:
        yield None
        return
    try:
        yield replace(announcement, path=str(own))
    finally:
        own.unlink(missing_ok=True)
