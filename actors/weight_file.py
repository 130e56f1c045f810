"""Protects announced weights while they are read: the learner removes all but its newest files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from broker.records import WeightAnnouncement


@contextmanager
def hard_linked(announcement: WeightAnnouncement, actor: str) -> Iterator[WeightAnnouncement | None]:
    """The announcement with a hard link of this actor's as its path; the link is removed at the end.

    The data stay readable, without a copy, when the learner removes its file. None when the file is gone already. A
    link that an earlier incarnation left is replaced. An announcement of another backend is passed through.
    """
    if announcement.backend != "file":
        yield announcement
        return
    assert announcement.path is not None
    path = Path(announcement.path)
    link = path.with_name(f"held-by-{actor}.safetensors")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except FileNotFoundError:
        yield None
        return
    try:
        yield replace(announcement, path=str(link))
    finally:
        link.unlink(missing_ok=True)
