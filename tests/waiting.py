"""Waiting for a condition, with a bound."""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 60.0, every_s: float = 0.01) -> float:
    """Returns the seconds it took. Raises AssertionError when the condition does not hold within `timeout_s`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < timeout_s, f"{what}: not within {timeout_s:g} s"
        time.sleep(every_s)
    return time.monotonic() - started
