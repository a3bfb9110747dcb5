"""What is closed at the end of a `with` block, or of an `async with` block."""

from types import TracebackType
from typing import Self

__all__ = ["AsyncScope", "Scope"]


class Scope:
    """A context manager that closes itself."""

    def close(self) -> None:
        """End the use of it."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        self.close()


class AsyncScope:
    """An asynchronous context manager that closes itself."""

    async def aclose(self) -> None:
        """End the use of it."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()
