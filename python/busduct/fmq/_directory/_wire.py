"""What a directory and its clients say to each other, as bytes.

docs/wire.md, "FMQ directory". Everything that a peer says is checked here, before
anybody acts on it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from busduct.errors import RemoteProtocolError

__all__ = [
    "ID_BYTES",
    "MAX_MEMBERS",
    "MAX_MESSAGE_BYTES",
    "VERSION",
    "Answer",
    "Hello",
    "MemberList",
    "Refused",
    "Register",
    "Registered",
    "Watch",
    "encode",
    "encode_members",
    "parse_answer",
    "parse_hello",
]

VERSION = 1
ID_BYTES = 16
MAX_MEMBERS = 1024
# Those members, each with an endpoint of 255 bytes, and some to spare.
MAX_MESSAGE_BYTES = 512 << 10

_MAX_REASON = 512


class Register(msgspec.Struct, frozen=True, array_like=True):
    """A member's first words on a connection.

    Attributes:
        token: What tells this connection from the client's others; comes back.
        name: Of the queue or topic.
        member_id: 16 bytes that no other member has.
        endpoint: Where the member listens.
    """

    token: int
    name: str
    member_id: bytes
    endpoint: str


class Watch(msgspec.Struct, frozen=True, array_like=True):
    """The first words of one who wants to be told of the members; as `Register`."""

    token: int
    name: str


class Registered(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a member.

    Attributes:
        token: Of what is answered.
        file: What tells the server's socket file from others; "" if it has none.
    """

    token: int
    file: str


class MemberList(msgspec.Struct, frozen=True, array_like=True):
    """All members; comes at once, and again whenever they change.

    Attributes:
        token: As of `Registered`.
        members: The endpoint of each, by its id.
    """

    token: int
    members: dict[bytes, str]


class Refused(msgspec.Struct, frozen=True, array_like=True):
    """The answer to one who has no business here. It is the same in every version.

    Attributes:
        token: As of `Registered`; 0 where what is answered could not be read.
        reason: Why.
    """

    token: int
    reason: str


class _EncodedMembers(msgspec.Struct, frozen=True, array_like=True):
    """A `MemberList` whose members were encoded before, for all who are told."""

    token: int
    members: msgspec.Raw


Hello: TypeAlias = Register | Watch
Answer: TypeAlias = Registered | MemberList | Refused

_REFUSED = 50
_KINDS: Mapping[type, int] = {
    Register: 32,
    Watch: 33,
    Registered: 48,
    MemberList: 49,
    _EncodedMembers: 49,
    Refused: _REFUSED,
}
_encoder = msgspec.msgpack.Encoder()
_hellos = {_KINDS[kind]: msgspec.msgpack.Decoder(kind) for kind in (Register, Watch)}
_answers = {
    _KINDS[kind]: msgspec.msgpack.Decoder(kind)
    for kind in (Registered, MemberList, Refused)
}


def encode(message: Hello | Answer | _EncodedMembers) -> bytes:
    """Return the one part of a message."""
    if isinstance(message, Refused):
        message = Refused(message.token, message.reason[:_MAX_REASON])
    return bytes((_KINDS[type(message)], VERSION)) + _encoder.encode(message)


def encode_members(token: int, members: msgspec.Raw) -> bytes:
    """Return the one part of a `MemberList`, of members that are msgpack already."""
    return encode(_EncodedMembers(token, members))


def parse_hello(parts: Sequence[bytes]) -> Hello:
    """Return what a client said.

    Raises:
        RemoteProtocolError: It is nothing that a client of this version says.
    """
    hello: Hello = _parse(_hellos, parts, "client")
    if isinstance(hello, Register) and len(hello.member_id) != ID_BYTES:
        msg = f"member id of {len(hello.member_id)} bytes, not {ID_BYTES}"
        raise RemoteProtocolError(msg)
    return hello


def parse_answer(parts: Sequence[bytes]) -> Answer:
    """Return what a server said.

    Raises:
        RemoteProtocolError: It is nothing that a server of this version says.
    """
    answer: Answer = _parse(_answers, parts, "server")
    if isinstance(answer, MemberList):
        if len(answer.members) > MAX_MEMBERS:
            msg = f"{len(answer.members)} members exceed the limit of {MAX_MEMBERS}"
            raise RemoteProtocolError(msg)
        if any(len(member_id) != ID_BYTES for member_id in answer.members):
            msg = f"member id that is not of {ID_BYTES} bytes"
            raise RemoteProtocolError(msg)
    return answer


def _parse(
    decoders: Mapping[int, "msgspec.msgpack.Decoder[Any]"],
    parts: Sequence[bytes],
    who: str,
) -> Any:
    if len(parts) != 1 or len(parts[0]) < 2 or parts[0][0] not in decoders:
        start = parts[0][:2].hex() if parts else ""
        msg = f"{start!r} in {len(parts)} parts is nothing that a {who} says"
        raise RemoteProtocolError(msg)
    kind, version = parts[0][:2]
    if version != VERSION and kind != _REFUSED:
        msg = f"the {who} speaks version {version} of the directory, not {VERSION}"
        raise RemoteProtocolError(msg)
    try:
        return decoders[kind].decode(memoryview(parts[0])[2:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"not what it says to be: {error}"
        raise RemoteProtocolError(msg) from error
