"""Space on the disk of a run."""

import errno
import shutil
from pathlib import Path

from broker.errors import UsageError

ROOM_BYTES = 1 << 20
"""A disk with less free space counts as full."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a write to a full disk, or above a quota."""


def is_full(folder: Path) -> bool:
    """Whether the disk of an existing folder has less than `ROOM_BYTES` left. /proc and the like have no size."""
    disk = shutil.disk_usage(folder)
    return disk.total > 0 and disk.free < ROOM_BYTES


def require_room(folder: Path) -> None:
    """Raises UsageError when the disk on which the folder is, or will be, is full."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if is_full(existing):
        raise UsageError(f"the disk of {folder} is full: free some space, or choose another run.root")
