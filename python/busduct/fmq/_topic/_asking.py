"""What callers of a topic ask for."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

__all__ = ["Interest", "OnGap", "Publication"]

OnGap: TypeAlias = Callable[[str, int], object]


class Publication(NamedTuple):
    """A message to be published; as `Topic.pub`."""

    data: Any
    key: str
    wait_for_subscribers: int
    timeout: float | None


class Interest(NamedTuple):
    """What somebody wants to hear; as `Topic.sub`."""

    prefix: str
    replay: int
    on_gap: OnGap | None
