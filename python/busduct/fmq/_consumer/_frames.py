"""Keep an error without what it happened to."""

from typing import TypeVar

__all__ = ["without_frames"]

Error = TypeVar("Error", bound=BaseException)


def without_frames(error: Error) -> Error:
    """Let go of what the frames of an error hold, which may be shared memory."""
    found: BaseException | None = error
    seen: set[int] = set()
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        found.__traceback__ = None
        found = found.__cause__ or found.__context__
    return error
