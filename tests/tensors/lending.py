"""Memory that is lent and leased without a socket, as its `loan` and leases behave."""

from array import array
from collections.abc import Sequence
from typing import Any, Self

import numpy as np


class PlainLoan(array):
    """Bytes that can be filled; changing their number raises while there are views."""

    def __new__(cls, nbytes: int) -> Self:
        return super().__new__(cls, "B", bytes(nbytes))

    @property
    def nbytes(self) -> int:
        return len(self)

    def as_numpy(self, dtype: Any = "uint8", shape: Sequence[int] | None = None) -> Any:
        flat = np.frombuffer(self, dtype)
        return flat if shape is None else flat.reshape(shape)


def as_received(parts: Sequence[Any]) -> list[Any]:
    """Return what the receiver of such parts gets."""
    return [
        memoryview(part).toreadonly() if isinstance(part, PlainLoan) else part
        for part in parts
    ]
