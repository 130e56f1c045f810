"""The script of the processes that run the user's verifier and reward (`confined_process`).

    arguments  socket, memory limit, JSON of setting -> import path
    request    [setting, arguments...], such as ["verifier.judge", "the answer is 42", "42"]
    reply      {"value": "correct"}, or {"error": "ValueError: no digits"} if the function failed
"""

import gc
import json
import math
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

from actors.verification.confined_process import run_fork_server
from conf.plugins import load, told

JUDGED = ("correct", "wrong", "no_answer", "unparsable")
"""What a verifier may return; `timeout` and `crash` are failures of it."""


def checked_verdict(value: Any) -> str:
    """Raises ValueError if the value is no verdict."""
    if not isinstance(value, str) or value not in JUDGED:
        raise ValueError(f"it returned {value!r:.80}, and a verdict is one of {', '.join(JUDGED)}")
    return value


def checked_reward(value: Any) -> float:
    """Raises ValueError if the value is no finite number, TypeError if it is no number."""
    reward = float(value)
    if not math.isfinite(reward):
        raise ValueError(f"it returned {value!r:.80}, and a reward is a finite number")
    return reward


CHECKS: dict[str, Callable[[Any], Any]] = {"verifier.judge": checked_verdict, "verifier.reward": checked_reward}


def answer(functions: dict[str, Callable[..., Any]], request: list[str]) -> dict[str, Any]:
    """The reply to one request. A MemoryError ends the worker: the parent counts a crash."""
    key, *arguments = request
    try:
        return {"value": CHECKS[key](functions[key](*arguments))}
    except MemoryError:
        raise
    except Exception as error:  # the user's code may raise anything
        return {"error": told(error)}


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is sent to the whole process group; the parent handles it
    loaded = {key: load(key, path) for key, path in json.loads(sys.argv[3]).items()}
    gc.freeze()
    run_fork_server(
        socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), lambda request: answer(loaded, request)
    )
