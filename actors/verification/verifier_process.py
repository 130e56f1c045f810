"""The processes that run math-verify: a nursery that imports it once, and the workers it forks.

Run as a script by `verifier.py`, never imported by it. The nursery is single-threaded and idle, so that a worker is
ready a few milliseconds after it was asked for; a hung worker is killed, not waited for. In-child alarms are off: they
cannot interrupt a long C call and fire in the wrong place.

    control socket  parent -> nursery   {"op": "spawn", "id": 7} with the worker's socket, {"op": "kill", "id": 7}
    worker socket   worker -> parent    frame "ready" once, then one verdict frame for each question frame
                    parent -> worker    [{"golds": ["42"], "answer": "41"}, ...]: does each answer equal one of its
                                        golds? answer null: can the gold be parsed at all?
    frame           4 bytes length, big-endian, then JSON
"""

import ctypes
import errno
import gc
import json
import logging
import os
import platform
import resource
import select
import signal
import socket
import struct
import sys
from functools import lru_cache
from typing import Any

if __name__ == "__main__":
    # Ctrl-C reaches the whole process group; the parent decides. The import below takes a second.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify

_EXTRACTION = (
    LatexExtractionConfig(
        boxed_match_priority=0,
        try_extract_without_anchor=False,
        normalization_config=NormalizationConfig(
            basic_latex=True,
            units=False,  # it takes 6m for 6; units are `actors.verification.answer_rules`' business
            malformed_operators=True,
            nits=True,
            boxed="all",
        ),
    ),
)
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_LIBC = ctypes.CDLL(None, use_errno=True)
MAX_FILE_BYTES = 64 * 2**20
"""A worker writes nothing but complaints, to its actor's log."""
_FORBIDDEN = {
    "x86_64": (0xC000003E, (41, 59, 62, 101, 200, 234, 310, 311, 322, 425)),
    "aarch64": (0xC00000B7, (198, 221, 129, 117, 130, 131, 270, 271, 281, 425)),
}
"""Machine -> its code, and the numbers of socket, execve, kill, ptrace, tkill, tgkill, process_vm_readv,
process_vm_writev, execveat, io_uring_setup."""
_PARENT_CHECK_S = 1.0
"""The nursery looks this often whether its parent is alive: a fork of the parent may hold the socket open."""


def parsed(content: str) -> list[Any]:
    """The content of a box as math-verify sees it: [sympy object, text], [text] or []."""
    parts: list[Any] = parse(
        f"\\boxed{{{content}}}",
        extraction_config=_EXTRACTION,
        extraction_mode="first_match",
        parsing_timeout=None,
        raise_on_error=True,
    )
    return parts


@lru_cache(maxsize=4096)
def parsed_gold(gold: str) -> tuple[Any, ...]:
    return tuple(parsed(gold))


def has_expression(parts: list[Any] | tuple[Any, ...]) -> bool:
    return any(not isinstance(part, str) for part in parts)


def judge_all(questions: list[dict[str, Any]]) -> str:
    """Correct when every answer equals one of its golds, else the verdict on the first that does not."""
    for question in questions:
        verdicts = [judge(gold, question["answer"]) for gold in question["golds"]]
        if "correct" not in verdicts:
            return verdicts[0]
    return "correct"


@lru_cache(maxsize=4096)
def judge(gold: str, answer: str | None) -> str:
    """The verdict. Running out of memory is not one: it ends the worker, which the parent sees as a crash."""
    try:
        expected = parsed_gold(gold)
    except MemoryError:
        raise
    except Exception:
        expected = ()
    if not expected:
        return "crash" if answer is not None else "unparsable"
    if answer is None:  # text of several words or signs is only compared letter by letter: no other form would match
        return "correct" if has_expression(expected) or expected[0].isalpha() else "unparsable"
    try:
        given = parsed(answer)
    except MemoryError:
        raise
    except Exception:  # whatever the parser does not understand, it says with an exception of its own choice
        return "unparsable"
    if not given:
        return "unparsable"
    try:
        if verify(list(expected), given, timeout_seconds=None, raise_on_error=True):
            return "correct"
    except MemoryError:
        raise
    except Exception as error:  # both sides were understood, the comparison failed: nobody knows
        logging.error("comparing %.200r with %.200r: %.200r", gold, answer, error)  # repr: the answer is a model's
        return "crash"
    return "wrong" if has_expression(given) or not has_expression(expected) else "unparsable"


def forbid_system_calls() -> None:
    """From now on this process opens no socket, starts no program and touches no other process (EPERM).

    math-verify needs none of it; this is for the day a parser can be talked into more. Where the kernel has no seccomp
    filters the limits of memory, file size and time are what is left.
    """
    if platform.machine() not in _FORBIDDEN:
        return
    architecture, numbers = _FORBIDDEN[platform.machine()]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    refuse = len(numbers) + 2  # instructions from the first test of a number to the last line
    program = [
        (load, 0, 0, 4),  # the architecture; another one has other numbers
        (equal, 0, refuse + 1, architecture),
        (load, 0, 0, 0),  # the number of the system call
        (at_least, refuse - 1, 0, 0x40000000),  # the x32 variants
        *((equal, refuse - 2 - i, 0, number) for i, number in enumerate(numbers)),
        (answer, 0, 0, 0x7FFF0000),  # go ahead
        (answer, 0, 0, 0x00050000 | errno.EPERM),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _LIBC.prctl(_PR_SET_SECCOMP, 2, header) != 0:
        os.write(2, b"verifier: this kernel has no seccomp filters\n")


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes; empty at the end of the stream."""
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            return b""
        data += more
    return data


def send(connection: socket.socket, message: Any) -> None:
    body = json.dumps(message).encode()
    connection.sendall(len(body).to_bytes(4, "big") + body)


def work(connection: socket.socket, memory_bytes: int, nursery_pid: int) -> None:
    """A worker's life, in a fresh fork."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != nursery_pid:  # it died before the line above
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    forbid_system_calls()
    send(connection, "ready")
    while header := receive(connection, 4):
        send(connection, judge_all(json.loads(receive(connection, int.from_bytes(header, "big")))))


def nurse(control: socket.socket, memory_bytes: int) -> None:
    """Fork and kill workers as told, until the parent is gone."""
    parent, pid = os.getppid(), os.getpid()
    workers: dict[int, int] = {}
    while os.getppid() == parent:
        if not select.select([control], [], [], _PARENT_CHECK_S)[0]:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, 256, 1)
        if not message:
            return
        order = json.loads(message)
        if order["op"] == "spawn":
            with socket.socket(fileno=descriptors[0]) as connection:
                child = os.fork()
                if child == 0:
                    status = 1
                    try:
                        control.close()
                        work(connection, memory_bytes, pid)
                        status = 0
                    except (BrokenPipeError, ConnectionResetError):  # the parent has already turned away
                        status = 0
                    except MemoryError:
                        os.write(2, b"verifier: an answer needed more memory than verifier.memory_gib\n")
                    finally:
                        os._exit(status)
                workers[order["id"]] = child
        else:
            child = workers.pop(order["id"])
            os.kill(child, signal.SIGKILL)  # not reaped yet, so the id is still its own
            os.waitpid(child, 0)


if __name__ == "__main__":
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    for warm_up in ("1", "\\frac{1}{2}", "x^2+1"):  # compiles patterns and fills the parser's tables before any fork
        judge(warm_up, "2")
    gc.freeze()
    nurse(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
