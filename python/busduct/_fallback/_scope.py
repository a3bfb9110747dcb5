"""What is closed at the end of a `with` block."""

from types import TracebackType
from typing import Self

__all__ = ["Scope"]


class Scope:
    """A context manager of both kinds that closes itself."""

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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        self.close()
