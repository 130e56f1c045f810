"""A proxy between unix sockets that loses some replies, with their connections."""

import contextlib
import random
import socket
import threading
from pathlib import Path
from urllib.parse import quote


class LossyProxy:
    """After `lose` was called, a share of the replies is lost: the command was executed, the client gets an error."""

    def __init__(self, url: str, path: Path, *, seed: int, share: float, at_most: int) -> None:
        """`url` is the server's, unix://; `path` the socket to which clients connect."""
        credentials, self._server = url.removeprefix("unix://").split("@")
        self.url = f"unix://{credentials}@{quote(str(path))}"
        self._rng, self._share, self._at_most = random.Random(seed), share, at_most
        self._losing = False
        self._lock = threading.Lock()
        self.lost = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self) -> None:
        self._losing = True

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                threading.Thread(target=self._pump, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        with source, sink, contextlib.suppress(OSError):  # the other pump has closed the connection
            while data := source.recv(2**20):
                if replies and self._is_lost():
                    break
                sink.sendall(data)
            for end in (source, sink):
                end.shutdown(socket.SHUT_RDWR)

    def _is_lost(self) -> bool:
        with self._lock:
            lost = self._losing and self.lost < self._at_most and self._rng.random() < self._share
            self.lost += lost
            return lost
