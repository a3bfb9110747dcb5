"""Memory that is filled in place and then sent."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, final

from busduct._arrays import CPU, as_array, to_dlpack
from busduct._fallback._lease import Lease
from busduct.errors import ClosedError

__all__ = ["Loan"]


@final
class Loan(bytearray):
    """Memory that is filled in place and then sent.

    The twin of the native class; see there for the contract. A `bytearray`, because
    before Python 3.12 only a class that is one kind of bytes can have a buffer: it
    cannot be resized, which here stands for being given up, while views of it are held.
    What was given up has no bytes left to view.
    """

    _is_released: bool

    def __init__(self) -> None:
        msg = "lend memory by Socket.loan"
        raise TypeError(msg)

    @classmethod
    def _open(cls, nbytes: int) -> Self:
        self = cls.__new__(cls)
        try:
            bytearray.__init__(self, nbytes)
        except OverflowError as error:
            raise MemoryError from error
        self._is_released = False
        return self

    @property
    def nbytes(self) -> int:
        """The number of bytes."""
        return len(self)

    @property
    def is_shared(self) -> bool:
        """Whether it is in shared memory, which it never is."""
        self._check()
        return False

    @property
    def released(self) -> bool:
        """Whether it was sent or released."""
        return self._is_released

    def release(self) -> None:
        """Give it back unsent. Idempotent."""
        self._empty()
        self._is_released = True

    def fill(self, parts: Sequence[bytes | str]) -> None:
        """Fill it with parts, one after the other; texts in UTF-8."""
        pieces = [_bytes_of(part) for part in parts]
        nbytes, limit = sum(map(len, pieces)), len(self)
        if nbytes != limit:
            msg = f"parts of {nbytes} bytes for a loan of {limit} bytes"
            raise ValueError(msg)
        self._empty()
        self.extend(b"".join(pieces))

    def freeze(self) -> Lease:
        """Give it up; return a lease of what was filled."""
        return Lease._open(self._give())

    def as_numpy(
        self, dtype: str | Any = "uint8", shape: Sequence[int] | None = None
    ) -> Any:
        """Return a writable array over it, which is a view."""
        self._check()
        return as_array(self, dtype, shape)

    def _empty(self) -> None:
        try:
            self.clear()
        except BufferError:
            msg = "views of the loan are held"
            raise BufferError(msg) from None

    def _check(self) -> None:
        if self._is_released:
            what = "loan"
            raise ClosedError(what)

    def _give(self) -> bytes:
        """Give what was filled to a message; to be followed by `_settle`."""
        self._check()
        part = bytes(self)
        self.release()
        return part

    def _take_back(self, part: bytes) -> None:
        """Hold again what was given to a message that was not accepted."""
        self.extend(part)
        self._is_released = False

    def __len__(self) -> int:
        self._check()
        return super().__len__()

    def __dlpack__(
        self,
        *,
        stream: object | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        self._check()
        return to_dlpack(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        self._check()
        return CPU

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        try:
            self.release()
        except BufferError:
            # The traceback of an exception may hold views; they keep the memory.
            if exc_type is None:
                raise


def _bytes_of(part: bytes | str) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, bytes):
        return part
    msg = f"a part is bytes or str, not '{type(part).__name__}'"
    raise TypeError(msg)
