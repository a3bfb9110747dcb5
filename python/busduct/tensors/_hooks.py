"""Put headers in place of tensors, and tensors in place of headers, amid msgspec."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from busduct.errors import ConfigError
from busduct.tensors._dtypes import DType
from busduct.tensors._fields import Field, field_of
from busduct.tensors._header import (
    MAX_DIMENSIONS,
    parse_header,
    require_nbytes,
)
from busduct.tensors._numpy import require_numpy
from busduct.tensors._tensor import Tensor, as_elements

__all__ = ["LOAN_BYTES", "Inbox", "Outbox", "TensorHooks", "header_of"]

# What is smaller travels within the message: a part of its own costs more than that.
INLINE_BYTES = 512
# What is smaller is not lent shared memory either, and bytes cost less than a loan.
LOAN_BYTES = 16384
# Leaves room for an envelope within the 1024 parts of a socket's default.
MAX_PARTS = 1000


class Outbox:
    """The parts of a message that is being encoded.

    Args:
        loan: Lends memory of so many bytes, to be filled and sent.
    """

    def __init__(self, loan: Callable[[int], Any]) -> None:
        self._loan = loan
        self.parts: list[Any] = []

    def takes(self, nbytes: int) -> bool:
        """Tell whether so many bytes go into a part of their own."""
        return nbytes >= INLINE_BYTES and len(self.parts) < MAX_PARTS

    def put_elements(self, elements: Any, dtype: DType) -> int:
        """Copy an array of any strides and byte order; return the part's number."""
        nbytes = elements.size * dtype.itemsize
        if nbytes < LOAN_BYTES:
            return self.put(bytes_of(elements, dtype))
        numpy = require_numpy()
        loan = self._loan(nbytes)
        target = numpy.frombuffer(loan, dtype.carrier).reshape(elements.shape)
        numpy.copyto(target, elements)
        return self.put(loan)

    def put_storage(self, storage: Any) -> int:
        """Send what holds a tensor as it is, or a copy where it cannot be held."""
        # NB: exactly these, of which a loan may be a subclass.
        may_change = type(storage) in (memoryview, bytearray)
        if may_change or any(part is storage for part in self.parts):
            storage = self._copy(memoryview(storage).cast("B"))
        return self.put(storage)

    def _copy(self, source: memoryview) -> Any:
        if source.nbytes < LOAN_BYTES:
            return bytes(source)
        loan = self._loan(source.nbytes)
        memoryview(loan)[:] = source
        return loan

    def put(self, part: Any) -> int:
        """Send a part as it is; return its number."""
        self.parts.append(part)
        return len(self.parts)


def header_of(value: Any, outbox: Outbox | None) -> list[Any] | None:
    """Return the header of an array, once its elements are placed; None of the rest.

    Args:
        value: Anything.
        outbox: Takes elements as parts; None to put all into the header.

    Raises:
        ImportError: numpy is not installed.
        TypeError: An array that a message cannot hold.
    """
    place: int | bytes
    if isinstance(value, Tensor):
        if outbox is not None and outbox.takes(value.nbytes):
            place = outbox.put_storage(value.storage)
        else:
            place = value.tobytes()
        return [value.dtype, value.shape, place]
    if not hasattr(value, "__dlpack__"):
        return None
    elements, dtype = as_elements(value)
    if elements.ndim > MAX_DIMENSIONS:
        msg = f"{elements.ndim} dimensions exceed limit of {MAX_DIMENSIONS}"
        raise TypeError(msg)
    if outbox is not None and outbox.takes(elements.size * dtype.itemsize):
        place = outbox.put_elements(elements, dtype)
    else:
        place = bytes_of(elements, dtype)
    return [dtype.name, elements.shape, place]


def bytes_of(elements: Any, dtype: DType) -> bytes:
    """Copy an array of any strides and byte order, in C order and little-endian."""
    copied: bytes = elements.astype(dtype.carrier, copy=False).tobytes()
    return copied


class Inbox:
    """The parts of a message that is being decoded, of which each is taken once.

    A part that nobody takes belongs to a field that this side does not know.
    """

    def __init__(self, parts: Sequence[Any], *, copy: bool) -> None:
        self._parts: list[Any] = list(parts)
        self.copy = copy

    def take(self, number: int, nbytes: int) -> Any:
        """Return a part by its number, from 1.

        Raises:
            ConfigError: There is none, it was taken, or is of another size.
        """
        if not 1 <= number <= len(self._parts):
            msg = f"part {number} of {len(self._parts)}"
            raise ConfigError(msg)
        part, self._parts[number - 1] = self._parts[number - 1], None
        if part is None:
            msg = f"part {number} is used twice"
            raise ConfigError(msg)
        require_nbytes(len(part), nbytes)
        return part


class _Current(threading.local):
    """What this thread is encoding and decoding."""

    outbox: Outbox | None = None
    inbox: Inbox | None = None


class TensorHooks:
    """The hooks of a msgspec encoder and decoder of a type with tensors in it.

    Without an outbox, tensors go into the message itself.

    Args:
        enc_hook: The caller's own, for what is no array.
        dec_hook: The caller's own, for types that hold no array.
    """

    def __init__(
        self,
        enc_hook: Callable[[Any], Any] | None,
        dec_hook: Callable[[type, Any], Any] | None,
    ) -> None:
        self._enc_hook = enc_hook
        self._dec_hook = dec_hook
        self._fields: dict[Any, Field | None] = {}
        self.current = _Current()

    def encode(self, value: Any) -> Any:
        """Return the header of an array, once its elements are placed.

        Raises:
            ImportError: numpy is not installed.
            TypeError: An array that a message cannot hold, or something else and there
                is no other hook.
        """
        header = header_of(value, self.current.outbox)
        if header is not None:
            return header
        if self._enc_hook is None:
            name = type(value).__name__
            msg = f"objects of type {name} cannot be encoded"
            raise TypeError(msg)
        return self._enc_hook(value)

    def decode(self, kind: Any, value: Any) -> Any:
        """Return the array of a header.

        Raises:
            ConfigError: The header is wrong, or of what the field does not take.
        """
        field = self._field_of(kind)
        if field is None:
            # msgspec checks what is returned.
            return value if self._dec_hook is None else self._dec_hook(kind, value)
        header = parse_header(value)
        field.check(header)
        inbox = self.current.inbox or Inbox((), copy=False)
        storage: Any = header.place
        if isinstance(storage, int):
            storage = inbox.take(storage, header.nbytes)
        try:
            return field.make(storage, header, inbox.copy)
        except (ImportError, BufferError, RuntimeError) as error:
            # The peer chose a type that the library here does not know.
            raise ConfigError(str(error)) from error

    def _field_of(self, kind: Any) -> Field | None:
        # NB: by identity: the hash of a generic type takes longer than the rest.
        try:
            return self._fields[id(kind)]
        except KeyError:
            return self._fields.setdefault(id(kind), field_of(kind))
