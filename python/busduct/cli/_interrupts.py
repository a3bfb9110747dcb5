"""Ctrl-C that ends work early, and a second one that ends it at once."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["stopped_by_signals"]

T = TypeVar("T")


async def stopped_by_signals(
    work: Coroutine[Any, Any, T], stop: Callable[[], None]
) -> T | None:
    """Do `work`; at SIGINT or SIGTERM call `stop`, at a second one cancel it.

    Returns:
        What `work` returned; None if it was cancelled.
    """
    task = asyncio.ensure_future(work)
    is_stopped = False

    def on_signal() -> None:
        nonlocal is_stopped
        if is_stopped:
            task.cancel()
        else:
            is_stopped = True
            stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        return await task
    except asyncio.CancelledError:
        if not is_stopped:
            raise
        return None
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
