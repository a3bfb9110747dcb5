"""A part that does not change any more, where it lies."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, final

from busduct._arrays import CPU, as_array, to_dlpack
from busduct.errors import ClosedError

__all__ = ["Lease"]


@final
class Lease(bytes):
    """A received part, or a loan that was frozen; read-only.

    The twin of the native class; see there for the contract. A `bytes`, because before
    Python 3.12 only a class that is one kind of bytes can have a buffer, and no other
    is read-only. So the part is copied once, `release` cannot tell whether views are
    held, and the memory goes with the lease and the last of them.
    """

    _is_released: bool

    def __new__(cls) -> Self:
        """Refuse.

        Raises:
            TypeError: Always.
        """
        msg = "a lease comes from Socket.recv_lease or Loan.freeze"
        raise TypeError(msg)

    @classmethod
    def _open(cls, part: bytes) -> Self:
        self = bytes.__new__(cls, part)
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
        """Whether it was released."""
        return self._is_released

    def release(self) -> None:
        """Give it back. Idempotent."""
        self._is_released = True

    def tobytes(self) -> bytes:
        """Copy it."""
        self._check()
        return bytes(memoryview(self))

    def split_texts(self, min_nbytes: int) -> tuple[bytes, list[str]] | None:
        """Return None: here nothing would be saved by it."""
        self._check()
        del min_nbytes
        return None

    def as_numpy(
        self, dtype: str | Any = "uint8", shape: Sequence[int] | None = None
    ) -> Any:
        """Return a read-only array over it, which is a view."""
        self._check()
        return as_array(self, dtype, shape)

    def _check(self) -> None:
        if self._is_released:
            what = "lease"
            raise ClosedError(what)

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
        self.release()
