"""A close that can be awaited in a loop, and is done on return without one."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

__all__ = ["begin_closing"]

# A loop does not keep its tasks.
_under_way: set[asyncio.Task[None]] = set()


class _Done:
    """Is over before it is awaited."""

    def __await__(self) -> Generator[Any, None, None]:
        return iter(())  # type: ignore[return-value]


def begin_closing(
    in_loop: Callable[[], Coroutine[Any, Any, None]], blocking: Callable[[], None]
) -> Awaitable[None]:
    """Begin to close in the running loop; without one, close.

    Args:
        in_loop: Closes, in a task. If that is cancelled with its loop, whatever ends
            with the loop has to go on.
        blocking: Closes, and returns when that is done.
    """
    loop = asyncio._get_running_loop()
    if loop is None:
        blocking()
        return _Done()
    task = loop.create_task(in_loop(), name="fmq close")
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return task
