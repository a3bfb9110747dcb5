"""What a program sends, as bytes, and back."""

import json
from typing import Any, Protocol

from busduct.transport.zmq_compat._shared_socket import Data
from busduct.transport.zmq_compat.error import NotSupportedError
from busduct.transport.zmq_compat.frame import Frame

__all__ = ["Codec", "checked_codec", "checked_part", "dump_json", "load_json"]


class Codec(Protocol):
    """How `send_pyobj` and `recv_pyobj` turn objects into bytes and back."""

    def encode(self, obj: Any, /) -> bytes:
        """Return an object as bytes."""

    def decode(self, data: bytes, /) -> Any:
        """Return the object that bytes stand for; they may come from anybody."""


def checked_codec(codec: Codec | None) -> Codec:
    """Return the codec that the caller gave.

    Raises:
        NotSupportedError: None was given.
    """
    if codec is None:
        text = (
            "send_pyobj and recv_pyobj use no pickle here, which runs code that a peer "
            "chose; use busduct.transport.MessageCodec with typed messages, or give a "
            "codec of your own as pyobj_codec="
        )
        raise NotSupportedError(msg=text)
    return codec


def checked_part(data: Any) -> Data:
    """Return a part as the sockets below take it.

    Raises:
        TypeError: Not bytes-like.
    """
    if type(data) is bytes:
        return data
    if isinstance(data, Frame):
        return data.bytes
    if isinstance(data, str):
        msg = f"text must be sent by send_string: {data[:32]!r}"
        raise TypeError(msg)
    view = memoryview(data)
    # A part may wait for others, or for room: later changes must not be sent.
    return view.tobytes()


def dump_json(obj: Any, options: dict[str, Any]) -> bytes:
    """Return an object as JSON, without needless spaces."""
    chosen = {"ensure_ascii": False, "separators": (",", ":"), **options}
    return json.dumps(obj, **chosen).encode()


def load_json(data: bytes, options: dict[str, Any]) -> Any:
    """Return the object that JSON stands for."""
    return json.loads(data, **options)
