"""What is closed at the end of a block of either kind."""

from types import TracebackType
from typing import Self

from busduct import _scopes

__all__ = ["Scope"]


class Scope(_scopes.Scope):
    """A context manager of both kinds that closes itself."""

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
