"""What a caller gives to be sent, as bytes."""

from types import TracebackType
from typing import Self, TypeAlias

from busduct._fallback._lease import Lease
from busduct._fallback._loan import Loan

__all__ = ["Data", "Given", "to_bytes"]

# Loans and leases are kinds of these.
Data: TypeAlias = bytes | bytearray | memoryview


def to_bytes(data: Data) -> bytes:
    """Return the bytes of a buffer; a copy unless it is `bytes` already.

    Raises:
        ClosedError: A loan or a lease that was given up.
        TypeError: Not a buffer.
    """
    if type(data) is bytes:
        return data
    if isinstance(data, Loan | Lease):
        data._check()
    return bytes(memoryview(data))


class Given:
    """The loans in messages; those that are not accepted go back to their owners."""

    def __init__(self) -> None:
        # Each with the number of parts before it.
        self._loans: list[tuple[int, Loan, bytes]] = []

    def take(self, data: Data, index: int) -> bytes:
        """Return the bytes of the part that has `index` others before it.

        Raises:
            BufferError: A loan of which views are held.
            ClosedError: A loan or a lease that was given up.
            TypeError: Not a buffer.
        """
        if not isinstance(data, Loan):
            return to_bytes(data)
        part = data._give()
        self._loans.append((index, data, part))
        return part

    def accept(self, num_parts: int | None = None) -> None:
        """Note that so many parts were accepted; None for all."""
        if num_parts is None:
            self._loans.clear()
        else:
            self._loans = [loan for loan in self._loans if loan[0] >= num_parts]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        for _, loan, part in self._loans:
            loan._take_back(part)
