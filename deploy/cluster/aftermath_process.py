"""Waits for the end of the driver; if it was killed, ends the processes it left and removes its folders (`aftermath`).

Run as a script: `aftermath_process.py MARK`. Each line of its input is a folder to remove. The line `done`, the last
one of a driver that cleaned up itself, ends it without a trace; the end of the input without it is the driver's death.
It imports nothing of pope-rl.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

VARIABLE = "POPE_DRIVER"
"""Environment variable that all processes of a driver inherit; its value, the mark, is unique."""
END_S = 5.0
"""Longest time for which processes are looked for, seconds; one may start another at any moment."""


def marked(mark: str) -> list[int]:
    """Process ids of all living processes with this mark, except the one that asks."""
    wanted, found = f"{VARIABLE}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
            if wanted in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def end_marked(mark: str) -> None:
    """Kill all processes with this mark, except the one that asks."""
    deadline = time.monotonic() + END_S
    while (left := marked(mark)) and time.monotonic() < deadline:
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folders = []
    for line in sys.stdin:
        if line == "done\n":
            return
        folders.append(line.removesuffix("\n"))
    end_marked(sys.argv[1])
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
