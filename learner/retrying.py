"""The retry wrapper of this room, until `broker.connection` has one."""

from collections.abc import Callable
from typing import TypeVar

from broker.connection import with_retries

T = TypeVar("T")


class Retrying:
    """Retries an idempotent call while Redis is unreachable, for at most `deadline_s` seconds."""

    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s

    def __call__(self, operation: Callable[[], T]) -> T:
        return with_retries(operation, deadline_s=self._deadline_s)
