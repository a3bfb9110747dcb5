"""Encode a payload that is more than plain msgpack: what is large goes beside it."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from copy import copy
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, force_setattr

from busduct.errors import FrameTooLargeError
from busduct.fmq._payload._extensions import encode_array, encode_bytes
from busduct.fmq._payload._lent import is_lease, is_lent, is_loan
from busduct.tensors._hooks import LOAN_BYTES, MAX_PARTS, Outbox, header_of
from busduct.tensors._libraries import library_of

if TYPE_CHECKING:
    from busduct._core import Lease, Loan

__all__ = [
    "LARGE_BYTES",
    "SCALARS",
    "PartsWriter",
    "UnencodableError",
    "fields_of",
    "frozen_copy",
    "is_long_and_flat",
]

# What is smaller is cheaper within the msgpack than as a part of its own.
LARGE_BYTES = 65536
# What holds nothing.
SCALARS = frozenset(
    {str, int, float, bool, type(None), datetime, date, time, timedelta, UUID, Decimal}
)
# Longer lists of them are not looked through.
_LONG_LENGTH = 16
# How many containers are searched for large bytes; those in others are sent in place.
_NUM_SEARCHED = 256


class UnencodableError(Exception):
    """Within a payload there is what cannot be sent.

    Attributes:
        value: That.
        reason: Why; None if nothing knows its type.
    """

    def __init__(self, value: Any, reason: str | None) -> None:
        super().__init__(reason)
        self.value = value
        self.reason = reason


class PartsWriter:
    """Encode one payload.

    Args:
        loan: Lends memory to be filled and sent.
        max_bytes: Of all that is encoded.
        enc_hook: The caller's own, for what is neither msgpack's nor an array.
    """

    def __init__(
        self,
        loan: "Callable[[int], Loan]",
        max_bytes: int,
        enc_hook: Callable[[Any], Any] | None,
    ) -> None:
        self._outbox = _Parts(loan, max_bytes)
        self._enc_hook = enc_hook
        self._num_left = _NUM_SEARCHED

    def encode(self, data: Any) -> tuple[bytes, tuple[Any, ...], int]:
        """Return the msgpack, the parts it refers to, and the bytes of all.

        Args:
            data: What `place` gave.

        Raises:
            UnencodableError: What it says; or whatever else msgspec raises.
            FrameTooLargeError: It is over `max_bytes`.
        """
        encoder = msgspec.msgpack.Encoder(enc_hook=self._encode_unknown)
        body = encoder.encode(data)
        self._outbox.count(len(body))
        parts = tuple(_frozen(part) for part in self._outbox.parts)
        return body, parts, self._outbox.nbytes

    def place(self, value: Any) -> Any:
        """Return what to encode in place of a value: itself, if nothing in it is large.

        msgspec asks nobody about bytes, so that they have to be looked for.

        Raises:
            UnencodableError: There is an extension type in it.
            FrameTooLargeError: It is over `max_bytes`.
        """
        kind = type(value)
        if kind in (bytes, bytearray, memoryview):
            return self._place_bytes(value)
        if kind is msgspec.msgpack.Ext:
            raise UnencodableError(value, "extension types are refused")
        self._num_left -= 1
        if kind is dict:
            return self._place_each(value, value.items(), dict, dict.__setitem__)
        if kind is list or kind is tuple:
            if is_long_and_flat(value):
                return value
            return self._place_each(value, enumerate(value), list, list.__setitem__)
        fields = fields_of(value)
        if fields is None:
            return value
        is_struct = isinstance(value, Struct)
        assign = force_setattr if is_struct else object.__setattr__
        return self._place_each(value, fields.items(), copy, assign)

    def _place_each(
        self, value: Any, items: Any, duplicate: Callable[[Any], Any], assign: Any
    ) -> Any:
        changed = None
        for key, item in items:
            if type(item) in SCALARS:
                continue
            if self._num_left <= 0:
                break
            placed = self.place(item)
            if placed is not item:
                changed = duplicate(value) if changed is None else changed
                assign(changed, key, placed)
        return value if changed is None else changed

    def _place_bytes(self, value: bytes | bytearray | memoryview) -> Any:
        nbytes = memoryview(value).nbytes
        if type(value) is memoryview and not value.c_contiguous:
            # msgspec refuses it.
            value = value.tobytes()
        if nbytes < LARGE_BYTES or len(self._outbox.parts) >= MAX_PARTS:
            return value
        return encode_bytes(self._outbox.put_bytes(value), nbytes)

    def _encode_unknown(self, value: Any) -> Any:
        """Be the hook of msgspec for what it does not know."""
        if is_lent(value):
            return self._place_lent(value)
        try:
            header = header_of(value, self._outbox)
        except TypeError as error:
            raise UnencodableError(value, str(error)) from error
        if header is not None:
            return encode_array(header, library_of(value))
        if _is_numpy_scalar(value):
            return value.item()
        if self._enc_hook is None:
            return self._place_bytes(_as_buffer(value))
        try:
            return self.place(self._enc_hook(value))
        except (TypeError, NotImplementedError) as error:
            raise UnencodableError(value, f"enc_hook: {error}") from error

    def _place_lent(self, value: Any) -> Any:
        # NB: a loan of any size, for it has to be given up.
        is_small = value.nbytes < LOAN_BYTES and not is_loan(value)
        if is_small or len(self._outbox.parts) >= MAX_PARTS:
            return bytes(memoryview(value))
        return encode_bytes(self._outbox.put_bytes(value), value.nbytes)


class _Parts(Outbox):
    """Parts that are kept and can be sent again: nobody else may change them.

    Args:
        loan: Lends memory.
        max_bytes: Of all parts, and of what is counted besides.
    """

    def __init__(self, loan: "Callable[[int], Loan]", max_bytes: int) -> None:
        super().__init__(self._lend)
        self._lender = loan
        self._max_bytes = max_bytes
        self.nbytes = 0

    def count(self, nbytes: int) -> None:
        """Add bytes to those of the message.

        Raises:
            FrameTooLargeError: There are too many.
        """
        self._require_room(nbytes)
        self.nbytes += nbytes

    def put(self, part: Any) -> int:
        """Send a part as it is; return its number."""
        self.count(len(part))
        return super().put(part)

    def put_bytes(self, value: Any) -> int:
        """Send bytes, or a loan, as they are, and a copy of what might change."""
        is_kept = type(value) is bytes or (
            is_loan(value) and not any(part is value for part in self.parts)
        )
        if is_kept:
            return self.put(value)
        self._require_room(memoryview(value).nbytes)
        return self.put(_copy_of(memoryview(value), self._lender))

    def put_storage(self, storage: Any) -> int:
        """Send what holds a tensor; what was received is held, and not copied."""
        if is_lease(storage):
            return self.put(storage)
        return self.put_bytes(storage)

    def _lend(self, nbytes: int) -> "Loan":
        self._require_room(nbytes)
        return self._lender(nbytes)

    def _require_room(self, nbytes: int) -> None:
        if self.nbytes + nbytes > self._max_bytes:
            raise FrameTooLargeError(self.nbytes + nbytes, self._max_bytes)


def frozen_copy(value: Any, loan: "Callable[[int], Loan]") -> "bytes | Lease":
    """Return the bytes of a buffer, which nobody can change any more.

    Args:
        value: A loan, which is given up and not copied, or any other buffer.
        loan: Lends memory for those that are large.

    Raises:
        BufferError: Views of the loan are held.
    """
    part: bytes | Lease
    part = _frozen(value if is_loan(value) else _copy_of(memoryview(value), loan))
    return part


def fields_of(value: Any) -> dict[str, Any] | None:
    """Return what a Struct or a dataclass holds; None of anything else."""
    if isinstance(value, Struct):
        return asdict(value)
    if not dataclasses.is_dataclass(value):
        return None
    names = [field.name for field in dataclasses.fields(value)]
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def is_long_and_flat(value: Sequence[Any]) -> bool:
    """Tell whether a list is likely of numbers or strings, and too long to look."""
    return len(value) > _LONG_LENGTH and type(value[0]) in SCALARS


def _copy_of(view: memoryview, loan: "Callable[[int], Loan]") -> Any:
    if view.nbytes < LOAN_BYTES or not view.c_contiguous:
        return view.tobytes()
    lent = loan(view.nbytes)
    with memoryview(lent) as target:
        target[:] = view.cast("B")
    return lent


def _frozen(part: Any) -> Any:
    return part.freeze() if is_loan(part) else part


def _is_numpy_scalar(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic)


def _as_buffer(value: Any) -> memoryview:
    try:
        return memoryview(value)
    except TypeError as error:
        raise UnencodableError(value, None) from error
