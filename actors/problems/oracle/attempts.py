"""The log of attempts: one line for each request that ended, on the disk before the next one is made.

    {"pope_oracle":1,"model":"big","source":"p.jsonl","problems":"9f2c..."}
    {"id":"sum-1","attempt":1,"wall_s":0.41,"error":"http_500","detail":"overloaded"}
    {"id":"sum-1","attempt":1,"retry":1,"wall_s":7.9,"verdict":"wrong","text":"...","prompt_tokens":93,...}
    {"id":"sum-1","attempt":2,"wall_s":8.3,"verdict":"correct","text":"...","prompt_tokens":93,...}

The first line says what the log is about; a run goes on only from a log about the same. A line that was being written
when its process was killed is cut off, its request counts as never made.
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

Rejected = Literal["truncated", "filtered"]
"""An answer that is not judged: it was cut at max_tokens, or the endpoint's content filter held it back."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a log is about. Answers of two models, or to other problems, are never mixed."""

    pope_oracle: int = 1
    model: str
    source: str
    problems: str
    """`fingerprint` of the problems."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request and how it ended: with an answer (`verdict`, `text`) or without one (`error`)."""

    id: str
    """Of the problem."""
    attempt: int
    """1, 2, ...: which solution of this problem was asked for."""
    retry: int = 0
    """How often this request had failed before."""
    wall_s: float
    verdict: Verdict | Rejected | None = None
    error: str | None = None
    """timeout, connection, http_STATUS, bad_json, empty or too_large."""
    detail: str | None = None
    """What the endpoint said about an error, cleaned and cut."""
    text: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


Line = TypeVar("Line", Header, Attempt)


def fingerprint(problems: Sequence[Problem]) -> str:
    """SHA-256 of the ids, statements and gold answers; solutions may come and go."""
    rows = [(problem.id, problem.statement, problem.answer) for problem in problems]
    return hashlib.sha256(msgspec.json.encode(rows)).hexdigest()


class AttemptLog:
    """Append-only and exclusive: a second process that opens the same log is refused. A context manager."""

    def __init__(self, path: Path, header: Header, *, fresh: bool = False) -> None:
        """`fresh` moves an older log aside. Raises `UsageError` when the log is another's, broken or in use."""
        self.path = path
        self.earlier: tuple[Attempt, ...] = ()
        """What earlier runs wrote."""
        self._file = self._opened()
        try:
            if fresh and path.stat().st_size:
                _move_aside(path)
                os.close(self._file)
                self._file = self._opened()
            self.earlier = self._read(header)
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> "AttemptLog":
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._file)

    def append(self, line: Attempt | Header) -> None:
        """Returns when the line is on the disk."""
        data = msgspec.json.encode(line) + b"\n"
        try:
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        except OSError as error:
            raise self._unwritable(error) from error

    def _opened(self) -> int:
        """The file's descriptor, locked."""
        try:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise self._unwritable(error) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if not isinstance(error, BlockingIOError):
                raise self._unwritable(error) from error
            raise UsageError(
                f"{self.path}: another pope oracle writes it; wait for its end, or choose another --out"
            ) from error
        return file

    def _read(self, header: Header) -> tuple[Attempt, ...]:
        try:
            content = self.path.read_bytes()
            whole = content.rfind(b"\n") + 1
            os.ftruncate(self._file, whole)
        except OSError as error:
            raise self._unwritable(error) from error
        lines = content[:whole].split(b"\n")[:-1]
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
                    f"{self.path} was made for {what}; give --fresh to begin anew (the old log is kept beside it), "
                    "or choose another --out"
                )

    def _parsed(self, line: bytes, number: int, kind: type[Line]) -> Line:
        try:
            return msgspec.json.decode(line, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{self.path}:{number}: not a line of this log ({error}); mend it, or give --fresh to begin anew"
            ) from error

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(f"{self.path}: {error.strerror}; give an --out in a folder that can be written and has room")


def _move_aside(path: Path) -> None:
    """`x.jsonl` -> `x.jsonl.1`, or the next number that is free: answers have cost money."""
    number = 1
    while (aside := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(aside)
