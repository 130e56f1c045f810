"""Proof that two processes see the same folder: each writes a file that the other reads.

A folder of the same path on another node may be another folder: on a local disk, or in the node's memory.
"""

import errno
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from broker.errors import UsageError
from deploy.cluster.disk_space import FULL, is_full

FolderState = Literal["shared", "another", "forbidden", "full"]
"""What a role finds at the path of a folder: that folder; none or another one; one that its user may not read and
write; one on a full disk."""
APPEAR_S = 5.0
"""Longest time until a file that one node wrote to a network file system is seen on another, seconds."""
_POLL_S = 0.05
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class SharedFolder:
    """A folder that the driver and some roles must see as the same one."""

    name: str
    """What it is, for messages: `the run folder`."""
    path: Path
    token: str
    """Random hex digits. They name the subfolder of the proof, and are what its files hold."""
    remedy: str
    """What to do where the folder is not shared."""

    @property
    def proof(self) -> Path:
        """The subfolder with a file of the driver and one of each role."""
        return self.path / f".handshake-{self.token}"

    def open(self) -> None:
        """Write the driver's file; writing it again changes nothing. Raises UsageError."""
        try:
            self.proof.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.proof / "driver").write_text(self.token)
        except OSError as error:
            raise UsageError(
                f"{self.path}, {self.name}, cannot be written ({error.strerror}); name a folder that can"
            ) from error

    def close(self) -> None:
        """Remove the proof, as the driver does at the end of a run; a role that is restarted needs it until then."""
        shutil.rmtree(self.proof, ignore_errors=True)

    def answer(self, role: str) -> FolderState:
        """Read the driver's file and write one beside it, as a role."""
        try:
            if not self._appears("driver"):
                return "another"
            (self.proof / role).write_text(self.token)
        except OSError as error:
            if error.errno in FULL:
                return "full"
            if error.errno in _FORBIDDEN:
                return "forbidden"
            raise
        return "full" if is_full(self.path) else "shared"

    def answered(self, role: str) -> bool:
        """Whether the driver sees the file that a role wrote."""
        return self._appears(role)

    def _appears(self, name: str) -> bool:
        """Whether the file is there, or will be within `APPEAR_S`. Without the folder there is nothing to wait for."""
        deadline = time.monotonic() + APPEAR_S
        while self.path.is_dir():
            try:
                return (self.proof / name).read_text() == self.token
            except FileNotFoundError:
                if time.monotonic() > deadline:
                    return False
            time.sleep(_POLL_S)
        return False
