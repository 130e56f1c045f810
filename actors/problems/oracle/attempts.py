"""The log of attempts: one line for each completed request, synced to disk before the problem's next request.

    {"pope_oracle":1,"model":"big","source":"p.jsonl","problems":"9f2c..."}
    {"id":"sum-1","attempt":1,"wall_s":0.41,"error":"http_500","detail":"overloaded"}
    {"id":"sum-1","attempt":1,"retry":1,"wall_s":7.9,"verdict":"wrong","text":"...","prompt_tokens":93,...}
    {"id":"sum-1","attempt":2,"wall_s":8.3,"verdict":"correct","text":"...","prompt_tokens":93,...}

The first line identifies model, source and problems; a run continues only a log with an equal first line. An incomplete
last line, left by a killed process, is removed, and its request counts as not made.
"""

import fcntl
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from broker.errors import UsageError
from broker.records import Problem, Verdict

UnjudgedReason = Literal["truncated", "filtered"]
"""Why an answer is not judged: it was cut at max_tokens, or the endpoint's content filter blocked it."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """Identifies a log, so that answers of different models, or to different problems, are never mixed."""

    pope_oracle: int = 1
    model: str
    source: str
    problems: str
    """The `fingerprint` of the problems."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request and its outcome: an answer (`verdict`, `text`) or an error (`error`)."""

    id: str
    """Problem id."""
    attempt: int
    """Number of the requested solution of this problem, from 1."""
    retry: int = 0
    """Number of earlier failures of this request."""
    wall_s: float
    verdict: Verdict | UnjudgedReason | None = None
    error: str | None = None
    """timeout, connection, http_STATUS, bad_json, empty or too_large."""
    detail: str | None = None
    """The endpoint's error message, cleaned and shortened."""
    text: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cut: bool = False
    """The answer of an evaluated model was cut at the token budget; it is judged all the same."""


Line = TypeVar("Line", Header, Attempt)


def fingerprint(problems: Sequence[Problem]) -> str:
    """SHA-256 of the ids, statements and reference answers. Solutions do not change it."""
    rows = [(problem.id, problem.statement, problem.answer) for problem in problems]
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()


class AttemptLog:
    """An append-only log that one process at a time may open. A context manager."""

    def __init__(self, path: Path, header: Header, *, fresh: bool = False) -> None:
        """`fresh` renames an older log. Raises `UsageError` when the log has another header, is damaged or in use."""
        self.path = path
        self.earlier: tuple[Attempt, ...] = ()
        """The attempts of earlier runs."""
        self._file = self._open()
        try:
            if fresh and path.stat().st_size:
                _rename_old(path)
                os.close(self._file)
                self._file = self._open()
            self.earlier = self._read(header)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> "AttemptLog":
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._file)

    def append(self, line: Attempt | Header) -> None:
        """Writes a line and syncs it to disk. Raises `UsageError` when that fails."""
        data = msgspec.json.encode(line) + b"\n"
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise self._write_error(error) from error

    def _open(self) -> int:
        """Opens and locks the file; returns its descriptor."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise self._write_error(error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if not isinstance(error, BlockingIOError):
                raise self._write_error(error) from error
            raise UsageError(
                f"{self.path}: another pope oracle writes to it; wait until it has ended, or choose another --out"
            ) from error
        return file

    def _read(self, header: Header) -> tuple[Attempt, ...]:
        try:
            content = self.path.read_bytes()
            complete = content.rfind(b"\n") + 1
            os.ftruncate(self._file, complete)
        except OSError as error:
            raise self._write_error(error) from error
        lines = content[:complete].split(b"\n")[:-1]
        if not lines:
            self.append(header)
            return ()
        self._check(self._parsed(lines[0], 1, Header), header)
        return tuple(self._parsed(line, number, Attempt) for number, line in enumerate(lines[1:], start=2))

    def _check(self, found: Header, wanted: Header) -> None:
        differences = {
            f"the model {found.model!r}": found.model != wanted.model,
            f"the source {found.source!r}": found.source != wanted.source,
            "other problems (the source has changed since)": found.problems != wanted.problems,
        }
        for what, differs in differences.items():
            if differs:
                raise UsageError(
                    f"{self.path} was made for {what}; give --fresh to start over (the old log is kept under another "
                    "name), or choose another --out"
                )

    def _parsed(self, line: bytes, number: int, kind: type[Line]) -> Line:
        try:
            return msgspec.json.decode(line, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{self.path}:{number}: not a line of this log ({error}); repair it, or give --fresh to start over"
            ) from error

    def _write_error(self, error: OSError) -> UsageError:
        return UsageError(f"{self.path}: {error.strerror}; choose a writable folder with free space for --out")


def _rename_old(path: Path) -> None:
    """`x.jsonl` -> `x.jsonl.1`, or the next free number. Never deleted, because answers may have cost money."""
    number = 1
    while (target := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(target)
