"""What a pool and its connections ask of whoever makes a request."""

from typing import TYPE_CHECKING, Protocol

from busduct.messages import ErrorData

if TYPE_CHECKING:
    from busduct.endpoint._http._protocol import Connection


class Exchange(Protocol):
    """A request and the response to it, as pool and connection see them.

    It gets the head, pieces of the body, and then `complete` or `fail`, whichever comes
    first, once. None of them may raise.
    """

    num_attempts: int
    """Rounds of connecting that failed while it waited; counted by the pool."""

    connection: "Connection | None"
    """What carries it, from its start until its end; set by the connection."""

    def take(self) -> bytes | None:
        """Return the whole request, whose turn has come; None if it is to be skipped.

        Asked again, the same, if nothing of it could be written.
        """
        ...

    def receive_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """Take the head, of which the headers are only lent for the call."""
        ...

    def receive_body(self, data: bytes) -> None:
        """Take what came of the body; it may abort the connection."""
        ...

    def complete(self) -> None:
        """Know that the response is whole."""
        ...

    def fail(self, error: ErrorData) -> None:
        """Know that the response will not be whole."""
        ...


class Nobody:
    """The exchange of a connection whose own has ended."""

    num_attempts = 0
    connection: "Connection | None" = None

    def take(self) -> bytes | None:
        """See `Exchange`."""
        return None

    def receive_head(self, status: int, headers: dict[bytes, bytes]) -> None:
        """See `Exchange`."""

    def receive_body(self, data: bytes) -> None:
        """See `Exchange`."""

    def complete(self) -> None:
        """See `Exchange`."""

    def fail(self, error: ErrorData) -> None:
        """See `Exchange`."""


NOBODY = Nobody()
