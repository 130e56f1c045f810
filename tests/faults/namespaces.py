"""A network of its own for a thread: partitions without a second machine. Needs root and iproute2 on Linux."""

import ctypes
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_CLONE_NEWNET = 0x40000000
OUTSIDE, INSIDE, MASK = "198.18.{net}.1", "198.18.{net}.2", 30
"""Of the block that is kept for tests of networks (RFC 2544)."""


def unavailable() -> str | None:
    """Why no partition can be made here; None when it can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "making a network namespace needs root"
    if shutil.which("ip") is None:
        return "iproute2 (the command ip) is not installed"
    name = f"pope-{uuid.uuid4().hex[:6]}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return "this machine allows no network namespaces"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


@dataclass(frozen=True)
class Network:
    """A namespace joined to this machine by one cable."""

    name: str
    host: str
    """Address of this machine as those inside reach it."""

    def enter(self) -> None:
        """The calling thread lives inside from now on."""
        with open(f"/run/netns/{self.name}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")

    def cut(self) -> None:
        """At the far end: this one keeps its address."""
        _ip("-n", self.name, "link", "set", "eth0", "down")

    def join(self) -> None:
        _ip("-n", self.name, "link", "set", "eth0", "up")

    @property
    def _cable(self) -> str:
        return f"{self.name}-o"


@contextmanager
def network() -> Iterator[Network]:
    """A namespace for as long as this lasts."""
    token = uuid.uuid4()
    made = Network(f"pope-{token.hex[:6]}", OUTSIDE.format(net=token.int % 250))
    inside = INSIDE.format(net=token.int % 250)
    _ip("netns", "add", made.name)
    try:
        _ip("link", "add", made._cable, "type", "veth", "peer", "name", "eth0", "netns", made.name)
        _ip("addr", "add", f"{made.host}/{MASK}", "dev", made._cable)
        _ip("link", "set", made._cable, "up")
        _ip("-n", made.name, "addr", "add", f"{inside}/{MASK}", "dev", "eth0")
        _ip("-n", made.name, "link", "set", "eth0", "up")
        yield made
    finally:
        subprocess.run(["ip", "link", "del", made._cable], capture_output=True, check=False)
        _ip("netns", "del", made.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
