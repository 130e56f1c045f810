"""Keeps a weight file readable while an engine loads it, even if the learner removes it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from broker.records import WeightAnnouncement


@contextmanager
def hard_linked(announcement: WeightAnnouncement, actor: str) -> Iterator[WeightAnnouncement | None]:
    """Yields the announcement with a hard link to its file as the path; the link is removed at the end.

    The data remain readable, without a copy, when the learner removes the file. Yields None if the file no longer
    exists. A link left by an earlier incarnation is replaced. Announcements of other backends are yielded unchanged.
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
