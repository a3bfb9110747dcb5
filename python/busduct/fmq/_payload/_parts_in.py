"""Take what a payload refers to from the parts beside it, each once."""

from collections.abc import Sequence
from typing import Any

from busduct.errors import ConfigError, RemoteProtocolError
from busduct.fmq._payload._extensions import (
    ARRAY_CODE,
    BYTES_CODE,
    parse_array,
    parse_bytes,
)
from busduct.tensors._hooks import Inbox
from busduct.tensors._libraries import make_array

__all__ = ["PartsReader"]


class PartsReader:
    """Decode the extensions of one payload.

    Args:
        parts: What the sender put beside the msgpack.
        copy: Arrays get memory of their own, which can be written.
        views: Bytes that are a part are views of it.
    """

    def __init__(self, parts: Sequence[Any], *, copy: bool, views: bool) -> None:
        self._inbox = Inbox(parts, copy=copy)
        self._num_left = len(parts)
        self._views = views

    def read(self, code: int, data: memoryview) -> Any:
        """Be the hook of msgspec for extension types.

        Raises:
            RemoteProtocolError: It is not ours, or wrong, or refers to nothing.
        """
        try:
            if code == BYTES_CODE:
                return self._read_bytes(data)
            if code == ARRAY_CODE:
                return self._read_array(data)
        except ConfigError as error:
            # NB: of a `ValueError` msgspec would make one without its cause.
            raise RemoteProtocolError(str(error)) from error
        msg = f"extension type {code} is refused"
        raise RemoteProtocolError(msg)

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            RemoteProtocolError: There are parts that nothing refers to.
        """
        if self._num_left:
            msg = f"{self._num_left} parts that nothing refers to"
            raise RemoteProtocolError(msg)

    def _read_bytes(self, data: memoryview) -> bytes | memoryview:
        part = self._take(*parse_bytes(data))
        if self._views:
            return memoryview(part)
        return part if type(part) is bytes else bytes(part)

    def _read_array(self, data: memoryview) -> Any:
        header, library = parse_array(data)
        storage: Any = header.place
        if isinstance(storage, int):
            storage = self._take(storage, header.nbytes)
        return make_array(library, storage, header, self._inbox.copy)

    def _take(self, number: int, nbytes: int) -> Any:
        part = self._inbox.take(number, nbytes)
        self._num_left -= 1
        return part
