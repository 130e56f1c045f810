"""Tasks that run side by side: wait for the first that ends, cancel the others."""

import asyncio
from collections.abc import Sequence

CANCEL_S = 5.0
"""Longest wait for tasks that were cancelled, seconds. A call to an engine that no longer answers may not end."""


async def first_to_end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Waits until one of the tasks ends. Raises its error."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def cancel_all(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels the tasks and waits until they have ended, for at most `CANCEL_S` seconds; their errors are ignored."""
    for task in tasks:
        task.cancel()
    if tasks:
        done, _ = await asyncio.wait(tasks, timeout=CANCEL_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # marks the error as seen
