"""Confined processes: a fork server that has loaded what takes long once, and the workers that it forks.

The scripts `verifier_process.py` and `plugin_process.py` are such fork servers; `verifier_workers.py` starts them. A
fork server has one thread and is idle, so a worker is ready within a few milliseconds. The kernel ends a worker that
uses more CPU time than the deadline on one request, by SIGPROF, also inside C code.

    control socket  parent -> fork server  {"op": "spawn", "id": 7} with the worker's socket, {"op": "kill", "id": 7}
                                           {"op": "reap", "id": 7}; answered with the worker's wait status
    worker socket   worker -> parent       the frame "ready" once, then one reply frame for each request frame
                    parent -> worker       {"deadline_s": 2.0, "request": what the script answers}
    frame           4 bytes length, big-endian, then JSON
"""

import ctypes
import errno
import json
import os
import platform
import resource
import select
import signal
import socket
import struct
from collections.abc import Callable
from typing import Any

Answer = Callable[[Any], Any]
"""Request -> reply, both JSON values. What it raises ends the worker."""

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_LIBC = ctypes.CDLL(None, use_errno=True)
MAX_FILE_BYTES = 64 * 2**20
"""Largest file that a worker may write; it writes only error messages, to the actor's log."""
_FORBIDDEN = {
    "x86_64": (0xC000003E, (41, 59, 62, 101, 200, 234, 310, 311, 322, 425)),
    "aarch64": (0xC00000B7, (198, 221, 129, 117, 130, 131, 270, 271, 281, 425)),
}
"""Machine -> audit architecture code, and the numbers of socket, execve, kill, ptrace, tkill, tgkill, process_vm_readv,
process_vm_writev, execveat, io_uring_setup."""
_PARENT_CHECK_S = 1.0
"""Time between two checks of the fork server that its parent is alive, seconds. The end of the socket is not enough: a
fork of the parent may keep it open."""


def forbid_system_calls() -> None:
    """Forbids this process to open sockets, start programs, and signal or trace other processes (EPERM).

    A verdict needs none of these; the filter limits what a response that exploits its verifier can do. On a kernel
    without seccomp filters only the limits on memory, file size and time apply.
    """
    if platform.machine() not in _FORBIDDEN:
        return
    architecture, numbers = _FORBIDDEN[platform.machine()]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    refuse = len(numbers) + 2  # instructions from the first test of a number to the last instruction
    program = [
        (load, 0, 0, 4),  # the architecture; the numbers depend on it
        (equal, 0, refuse + 1, architecture),
        (load, 0, 0, 0),  # the number of the system call
        (at_least, refuse - 1, 0, 0x40000000),  # the x32 variants
        *((equal, refuse - 2 - i, 0, number) for i, number in enumerate(numbers)),
        (answer, 0, 0, 0x7FFF0000),  # allow
        (answer, 0, 0, 0x00050000 | errno.EPERM),
    ]
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _LIBC.prctl(_PR_SET_SECCOMP, 2, header) != 0:
        os.write(2, b"verifier: this kernel has no seccomp filters\n")


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or no bytes at the end of the stream."""
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


def run_worker(connection: socket.socket, memory_bytes: int, parent_pid: int, answer: Answer) -> None:
    """Sets the limits of this forked process, then answers until the connection is closed.

    A request that takes its `deadline_s` seconds of CPU time ends the process.
    """
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # the fork server died before the line above
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    forbid_system_calls()
    send(connection, "ready")
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    while header := receive(connection, 4):
        request = json.loads(receive(connection, int.from_bytes(header, "big")))
        signal.setitimer(signal.ITIMER_PROF, request["deadline_s"])
        reply = answer(request["request"])
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        send(connection, reply)


def run_fork_server(control: socket.socket, memory_bytes: int, answer: Answer) -> None:
    """Forks and kills workers as requested by the parent, until the parent has ended."""
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
                        run_worker(connection, memory_bytes, pid, answer)
                        status = 0
                    except (BrokenPipeError, ConnectionResetError):  # the parent has closed the connection
                        status = 0
                    except MemoryError:
                        os.write(2, b"verifier: an answer needed more memory than verifier.memory_gib\n")
                    finally:
                        os._exit(status)
                workers[order["id"]] = child
        elif order["op"] == "reap":
            child = workers.pop(order["id"], 0)
            control.send(json.dumps(os.waitpid(child, 0)[1] if child else 0).encode())
        elif child := workers.pop(order["id"], 0):
            os.kill(child, signal.SIGKILL)  # not reaped yet, so its process id is not reused
            os.waitpid(child, 0)
