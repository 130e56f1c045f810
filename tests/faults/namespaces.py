"""Network namespaces: a thread in a network of its own, for partitions on one machine. Linux, root and iproute2."""

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
"""Addresses of the block reserved for network tests (RFC 2544)."""


def unavailable() -> str | None:
    """Why no partition can be made here; None when it can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces need Linux"
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
    """A namespace connected to this machine by one link."""

    name: str
    host: str
    """Address of this machine inside the namespace."""

    def enter(self) -> None:
        """Move the calling thread into the namespace."""
        with open(f"/run/netns/{self.name}") as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")

    def cut(self) -> None:
        """Take the link down at the namespace's end, so that this end keeps its address."""
        _ip("-n", self.name, "link", "set", "eth0", "down")

    def join(self) -> None:
        _ip("-n", self.name, "link", "set", "eth0", "up")

    @property
    def _link(self) -> str:
        return f"{self.name}-o"


@contextmanager
def network() -> Iterator[Network]:
    """A namespace that is removed at the end."""
    token = uuid.uuid4()
    net = Network(f"pope-{token.hex[:6]}", OUTSIDE.format(net=token.int % 250))
    inside = INSIDE.format(net=token.int % 250)
    _ip("netns", "add", net.name)
    try:
        _ip("link", "add", net._link, "type", "veth", "peer", "name", "eth0", "netns", net.name)
        _ip("addr", "add", f"{net.host}/{MASK}", "dev", net._link)
        _ip("link", "set", net._link, "up")
        _ip("-n", net.name, "addr", "add", f"{inside}/{MASK}", "dev", "eth0")
        _ip("-n", net.name, "link", "set", "eth0", "up")
        yield net
    finally:
        subprocess.run(["ip", "link", "del", net._link], capture_output=True, check=False)
        _ip("netns", "del", net.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
