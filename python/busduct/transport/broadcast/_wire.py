"""What a broadcast queue and its readers say to each other (docs/wire.md, "Broadcast").

Pure functions. A reader speaks by subscriptions: it announces itself by the topic that
is its name, and confirms by a second one that it takes all items from there on. Items
of one part are messages of one part; whatever else the writer says has several.
"""

import enum
import secrets
from typing import Final, NamedTuple

from busduct.errors import MalformedFrameError, RemoteProtocolError
from busduct.transport.broadcast._handle import VERSION

__all__ = [
    "END_MESSAGE",
    "ITEM_HEADER",
    "Announcement",
    "Control",
    "ControlKind",
    "confirmation_of",
    "decode_announcement",
    "decode_control",
    "encode_announcement",
    "encode_refusal",
    "encode_welcome",
]

_MAGIC: Final = b"BDBQ"
_ANY_RANK: Final = 0xFFFFFFFF
_TOKEN_AT: Final = len(_MAGIC) + 1
_RANK_AT: Final = _TOKEN_AT + 8
_NONCE_AT: Final = _RANK_AT + 4
_NAME_NBYTES: Final = _NONCE_AT + 8
_CONFIRMS: Final = b"\1"
_MAX_REASON_NBYTES: Final = 512


class ControlKind(enum.IntEnum):
    """What a message of several parts is; the last byte of its first part."""

    WELCOME = 1
    REFUSED = 2
    END = 3
    ITEM = 4


class Announcement(NamedTuple):
    """What a topic of a reader says.

    Attributes:
        token: Of the queue that it means to read.
        rank: As it wants to be called; None to leave that to the writer.
        is_confirmation: It takes all items from here on.
    """

    token: bytes
    rank: int | None
    is_confirmation: bool


class Control(NamedTuple):
    """A message of several parts that is no item.

    Attributes:
        kind: Which.
        name: Of the reader that it is for; b"" for all.
        rank: Of a welcome.
        reason: Of a refusal.
    """

    kind: ControlKind
    name: bytes = b""
    rank: int = 0
    reason: str = ""


# NB: one part would be an item.
END_MESSAGE: Final = [bytes((ControlKind.END,)), b""]
ITEM_HEADER: Final = bytes((ControlKind.ITEM,))


def encode_announcement(token: bytes, rank: int | None) -> bytes:
    """Make the name of a reader, which no other has."""
    rank_field = (_ANY_RANK if rank is None else rank).to_bytes(4, "big")
    return _MAGIC + bytes((VERSION,)) + token + rank_field + secrets.token_bytes(8)


def confirmation_of(name: bytes) -> bytes:
    """Return the topic by which a reader confirms."""
    return name + _CONFIRMS


def decode_announcement(topic: bytes) -> Announcement | None:
    """Read a topic; None if it has nothing to do with a broadcast queue.

    Raises:
        RemoteProtocolError: It is a reader's of another version, or malformed.
    """
    if not topic.startswith(_MAGIC):
        return None
    version = topic[len(_MAGIC) : _TOKEN_AT]
    if version != bytes((VERSION,)):
        msg = f"reader speaks version {version.hex() or 'none'}, the writer {VERSION}"
        raise RemoteProtocolError(msg)
    name, rest = topic[:_NAME_NBYTES], topic[_NAME_NBYTES:]
    if len(name) != _NAME_NBYTES or rest not in {b"", _CONFIRMS}:
        raise MalformedFrameError(len(topic), "name of a reader of another length")
    rank = int.from_bytes(name[_RANK_AT:_NONCE_AT], "big")
    return Announcement(
        token=name[_TOKEN_AT:_RANK_AT],
        rank=None if rank == _ANY_RANK else rank,
        is_confirmation=bool(rest),
    )


def encode_welcome(name: bytes, rank: int) -> list[bytes]:
    """Tell a reader that it is one of the queue's, and its rank."""
    return [name + bytes((ControlKind.WELCOME,)), rank.to_bytes(4, "big")]


def encode_refusal(name: bytes, reason: str) -> list[bytes]:
    """Tell a reader that it will get nothing, and why."""
    text = reason.encode()[:_MAX_REASON_NBYTES]
    return [name + bytes((ControlKind.REFUSED,)), text]


def decode_control(parts: list[bytes]) -> Control:
    """Read a message of several parts that is no item.

    Raises:
        MalformedFrameError: It is nothing that a writer says.
    """
    header, body = parts if len(parts) == 2 else (b"", b"")
    name, kind = header[:-1], header[-1:]
    if parts == END_MESSAGE:
        return Control(ControlKind.END)
    # NB: the end of a name is random, and may look like a kind.
    if len(name) != _NAME_NBYTES:
        kind = b""
    if kind == bytes((ControlKind.WELCOME,)) and len(body) == 4:
        rank = int.from_bytes(body, "big")
        return Control(ControlKind.WELCOME, name, rank=rank)
    if kind == bytes((ControlKind.REFUSED,)):
        reason = body.decode(errors="replace")
        return Control(ControlKind.REFUSED, name, reason=reason)
    num_parts = len(parts)
    raise MalformedFrameError(0, f"control message of {num_parts} parts")
