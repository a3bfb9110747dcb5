"""Sealed records: a stream in pieces with a MAC (docs/wire.md, "Records"); no I/O.

Nothing is encrypted. Two sides that share a key per direction notice every record that
was changed, added, left out, repeated or moved.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from busduct.errors import AuthError

__all__ = ["MAC_NBYTES", "MAX_RECORD_NBYTES", "Opener", "Sealer"]

MAX_RECORD_NBYTES: Final = 64 << 10
MAC_NBYTES: Final = 16
# What is sealed at once: two of the largest records.
_MAX_SEAL_NBYTES = 128 << 10
_LENGTH_NBYTES = 4
_OVERHEAD_NBYTES = _LENGTH_NBYTES + MAC_NBYTES


class _Macs:
    """Computes the MACs of one direction, in order.

    Attributes:
        counter: Records so far.
    """

    __slots__ = ("_key", "counter")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.counter = 0

    def next(self, *pieces: bytes | memoryview) -> bytes:
        """Return the MAC of the next record: its length and its payload."""
        salt = self.counter.to_bytes(8, "big")
        self.counter += 1
        mac = hashlib.blake2b(digest_size=MAC_NBYTES, key=self._key, salt=salt)
        for piece in pieces:
            mac.update(piece)
        return mac.digest()


class Sealer:
    """Seals what one side sends."""

    __slots__ = ("_macs",)

    def __init__(self, key: bytes) -> None:
        self._macs = _Macs(key)

    def seal(
        self, buffers: Sequence[bytes | bytearray | memoryview], out: bytearray
    ) -> int:
        """Append the records of what buffers hold, up to 128 KiB, to `out`.

        Returns:
            How many bytes of the buffers were taken.
        """
        plain = bytearray()
        for buffer in buffers:
            plain += memoryview(buffer)[: _MAX_SEAL_NBYTES - len(plain)]
        with memoryview(plain) as view:
            for start in range(0, len(plain), MAX_RECORD_NBYTES):
                payload = view[start : start + MAX_RECORD_NBYTES]
                length = len(payload).to_bytes(_LENGTH_NBYTES, "big")
                out += length
                out += payload
                out += self._macs.next(length, payload)
                payload.release()
        return len(plain)


class Opener:
    """Opens what the other side sealed, wherever the reads happen to cut it.

    It holds what came of one record that is not whole, and no more.
    """

    __slots__ = ("_failure", "_macs", "_partial")

    def __init__(self, key: bytes) -> None:
        self._macs = _Macs(key)
        self._partial = bytearray()
        self._failure: str | None = None

    @property
    def is_amid_record(self) -> bool:
        """Whether a record has begun and not ended."""
        return bool(self._partial)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes as they came from the peer."""
        self._partial += data

    def take(self) -> bytes:
        """Return the payloads of all records that are proven whole, joined.

        Of a record that was tampered with nothing is returned, nor of any that follows;
        `check` tells.
        """
        opened: list[bytes] = []
        at = 0
        while self._failure is None:
            payload, at = self._open(at)
            if not payload:
                break
            opened.append(payload)
        del self._partial[:at]
        return b"".join(opened)

    def check(self) -> None:
        """Tell whether a record was tampered with.

        Raises:
            AuthError: It was.
        """
        if self._failure is not None:
            raise AuthError(self._failure)

    def _open(self, at: int) -> tuple[bytes, int]:
        """Return the payload of the record at an offset, and where the next one starts.

        The payload is empty where there is no whole record, or a wrong one.
        """
        start = at + _LENGTH_NBYTES
        length = bytes(self._partial[at:start])
        if len(length) < _LENGTH_NBYTES:
            return b"", at
        nbytes = int.from_bytes(length, "big")
        record = f"record {self._macs.counter}"
        if not 1 <= nbytes <= MAX_RECORD_NBYTES:
            allowed = f"1 to {MAX_RECORD_NBYTES} bytes"
            self._failure = f"{record} of {nbytes} bytes is not one of {allowed}"
            return b"", at
        end = start + nbytes
        if len(self._partial) < end + MAC_NBYTES:
            return b"", at
        with memoryview(self._partial) as whole:
            payload = bytes(whole[start:end])
            mac = bytes(whole[end : end + MAC_NBYTES])
        if not hmac.compare_digest(self._macs.next(length, payload), mac):
            self._failure = f"{record} was tampered with"
            return b"", at
        return payload, end + MAC_NBYTES
