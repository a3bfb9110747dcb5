"""Encode and parse greetings, commands and frames of ZMTP 3.1; no I/O.

Their bytes are in docs/wire.md, "Greeting", "Frames" and "Commands".
"""

from collections.abc import Sequence
from typing import Final

from busduct.errors import MalformedFrameError, RemoteProtocolError

__all__ = [
    "COMMAND",
    "GREETING_NBYTES",
    "LONG",
    "MAX_COMMAND_NBYTES",
    "MORE",
    "encode_command",
    "encode_error",
    "encode_greeting",
    "encode_message",
    "encode_ping",
    "encode_pong",
    "encode_ready",
    "frame_header",
    "framed_nbytes",
    "has_subscription_commands",
    "parse_command",
    "parse_error",
    "parse_greeting",
    "parse_metadata",
    "parse_ping",
]

MORE: Final = 1
LONG: Final = 2
COMMAND: Final = 4

GREETING_NBYTES: Final = 64
MAX_COMMAND_NBYTES: Final = 8192
MAX_PING_CONTEXT_NBYTES: Final = 16

_SIGNATURE = b"\xff" + bytes(8) + b"\x7f"
_VERSION_AT = 10
_MECHANISM_AT = 12
_AS_SERVER_AT = 32
_MECHANISM_NBYTES = 20
_SHORT_MAX = 255


def encode_greeting(mechanism: bytes = b"NULL", *, as_server: bool = False) -> bytes:
    """Return our greeting: version 3.1, the mechanism, and whether we bound with it."""
    padded = mechanism.ljust(_MECHANISM_NBYTES, b"\0")
    greeting = _SIGNATURE + b"\x03\x01" + padded + bytes((as_server,))
    return greeting.ljust(GREETING_NBYTES, b"\0")


def parse_greeting(data: bytes | bytearray, ours: bytes | None = None) -> bool:
    """Check as much of a peer's greeting as there is; tell whether it is complete.

    Args:
        data: What came.
        ours: The greeting that we sent; None for one with mechanism NULL.

    Raises:
        MalformedFrameError: It does not start with the signature of ZMTP.
        RemoteProtocolError: A version before 3.0, another mechanism than ours, or one
            with roles, and the same role as ours.
    """
    if data and data[0] != 0xFF:
        raise MalformedFrameError(0, "greeting without ZMTP signature")
    if len(data) > 9 and data[9] != 0x7F:
        raise MalformedFrameError(9, "greeting without ZMTP signature")
    if len(data) > _VERSION_AT and data[_VERSION_AT] < 3:
        msg = f"peer speaks ZMTP {data[_VERSION_AT]}; this side speaks 3.1"
        raise RemoteProtocolError(msg)
    if len(data) < GREETING_NBYTES:
        return False
    _check_mechanism(data, ours or encode_greeting())
    return True


def _check_mechanism(data: bytes | bytearray, ours: bytes) -> None:
    mechanism, wanted = (
        bytes(greeting[_MECHANISM_AT : _MECHANISM_AT + _MECHANISM_NBYTES])
        for greeting in (data, ours)
    )
    if mechanism != wanted:
        name = mechanism.split(b"\0")[0].decode("ascii", "backslashreplace")
        own = wanted.rstrip(b"\0").decode("ascii")
        msg = f"peer asks for mechanism {name}; this side speaks {own}"
        raise RemoteProtocolError(msg)
    is_client = not ours[_AS_SERVER_AT]
    if wanted.rstrip(b"\0") != b"NULL" and data[_AS_SERVER_AT] != is_client:
        msg = "both sides bound, or both connected"
        raise RemoteProtocolError(msg)


def has_subscription_commands(greeting: bytes | bytearray) -> bool:
    """Tell whether a peer that greets so knows SUBSCRIBE and CANCEL."""
    major, minor = greeting[_VERSION_AT : _VERSION_AT + 2]
    return major > 3 or minor >= 1


def frame_header(flags: int, nbytes: int) -> bytes:
    """Return the header of a frame, in the short form where its size permits."""
    if nbytes <= _SHORT_MAX:
        return bytes((flags, nbytes))
    return bytes((flags | LONG,)) + nbytes.to_bytes(8, "big")


def framed_nbytes(parts: Sequence[bytes]) -> int:
    """Return the bytes that a message takes on the wire, headers included."""
    total = 0
    for part in parts:
        nbytes = len(part)
        total += nbytes + (2 if nbytes <= _SHORT_MAX else 9)
    return total


def encode_message(parts: Sequence[bytes]) -> list[bytes]:
    """Return the buffers of a message: header, body, header, body and so on."""
    buffers = []
    last = len(parts) - 1
    for index, part in enumerate(parts):
        buffers.append(frame_header(MORE if index < last else 0, len(part)))
        buffers.append(part)
    return buffers


def encode_command(name: bytes, data: bytes) -> bytes:
    """Return one command as a frame."""
    body = bytes((len(name),)) + name + data
    return frame_header(COMMAND, len(body)) + body


def encode_ready(properties: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a READY command that carries these properties."""
    fields = [
        bytes((len(name),)) + name + len(value).to_bytes(4, "big") + value
        for name, value in properties
    ]
    return encode_command(b"READY", b"".join(fields))


def encode_error(reason: str) -> bytes:
    """Return an ERROR command; the reason is cut to 255 bytes."""
    text = reason.encode("ascii", "replace")[:_SHORT_MAX]
    return encode_command(b"ERROR", bytes((len(text),)) + text)


def encode_ping(ttl: float) -> bytes:
    """Return a PING that asks for being given up after so many seconds of silence.

    They are rounded to tenths, but never to 0, which would mean no bound, as 0 does.
    """
    tenths = max(int(ttl * 10 + 0.5), 1) if ttl else 0
    return encode_command(b"PING", tenths.to_bytes(2, "big"))


def encode_pong(context: bytes) -> bytes:
    """Return the answer to a PING that carried this context."""
    return encode_command(b"PONG", context)


def parse_command(body: bytes, offset: int) -> tuple[bytes, bytes]:
    """Split the body of a command frame into its name and its data.

    Raises:
        MalformedFrameError: No name, or one that runs past the end.
    """
    if not body or not 1 <= body[0] < len(body):
        raise MalformedFrameError(offset, "command without a name")
    end = 1 + body[0]
    return body[1:end], body[end:]


def parse_metadata(data: bytes, offset: int) -> dict[bytes, bytes]:
    """Return the properties of a READY command, their names in lower case.

    Raises:
        MalformedFrameError: A property runs past the end.
    """
    properties = {}
    at = 0
    while at < len(data):
        length_at = at + 1 + data[at]
        value_at = length_at + 4
        end = value_at + int.from_bytes(data[length_at:value_at], "big")
        if value_at > len(data) or end > len(data):
            raise MalformedFrameError(offset, "READY with a wrong length")
        properties[data[at + 1 : length_at].lower()] = data[value_at:end]
        at = end
    return properties


def parse_error(data: bytes, offset: int) -> str:
    """Return the reason that an ERROR command gives.

    Raises:
        MalformedFrameError: The reason runs past the end.
    """
    if not data or len(data) < 1 + data[0]:
        raise MalformedFrameError(offset, "ERROR with a wrong length")
    return data[1 : 1 + data[0]].decode("ascii", "backslashreplace")


def parse_ping(data: bytes, offset: int) -> tuple[float, bytes]:
    """Return what a PING carries.

    Returns:
        Seconds of silence after which the peer wants to be given up, 0 for no bound;
        and the context, to be sent back in a PONG.

    Raises:
        MalformedFrameError: No time to live, or a context over 16 bytes.
    """
    if not 2 <= len(data) <= 2 + MAX_PING_CONTEXT_NBYTES:
        raise MalformedFrameError(offset, "PING with a wrong length")
    return int.from_bytes(data[:2], "big") / 10, data[2:]
