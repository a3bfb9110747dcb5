"""Wait until something holds, in tests that cannot be told when it does."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

# Beyond what a machine that does much else takes, within what a test may take.
PATIENCE_SECONDS = 50.0


async def eventually(condition: Callable[[], Any]) -> Any:
    """Let the loop run until `condition` gives something true; return that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        assert time.monotonic() < deadline, "the condition never held"
        await asyncio.sleep(0.001)
    return result


def turn_until(context: Any, condition: Callable[[], Any]) -> Any:
    """Turn a context over until `condition` gives something true; return that."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (result := condition()):
        assert time.monotonic() < deadline, "the condition never held"
        context.run_once(0.01)
    return result


async def settle(num_turns: int = 20) -> None:
    """Let the loop turn over so often that what is under way has happened."""
    for _ in range(num_turns):
        await asyncio.sleep(0)
