"""Opens the process group of the ranks. Only rank 0 listens, and only on MASTER_ADDR.

torch's own `env://` rendezvous listens on every interface of the machine, without a password, even for a single rank.
"""

import os
import socket
from datetime import timedelta

# torch.distributed exports its stores without declaring them.
from torch.distributed import HashStore, Store, TCPStore, init_process_group  # type: ignore[attr-defined]


def open_process_group(backend: str, timeout: timedelta) -> None:
    """Opens torch's default process group, described by RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT."""
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = _store(rank, world_size, timeout)
    init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=timeout)


def _store(rank: int, world_size: int, timeout: timedelta) -> Store:
    if world_size == 1:
        return HashStore()  # a single rank needs no socket
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    if rank > 0:
        return TCPStore(host, port, world_size, is_master=False, timeout=timeout)
    listener = socket.create_server((host, port))
    return TCPStore(host, port, world_size, is_master=True, timeout=timeout, master_listen_fd=listener.detach())
