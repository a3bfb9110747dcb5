"""The BUSDUCT mechanism: both sides prove that they know a key (docs/wire.md, "Keys").

Pure steps on bytes: the nonce is handed in, so that a handshake can be repeated byte by
byte in a test.
"""

import hashlib
import hmac
from typing import Final, Literal, TypeAlias

from busduct._fallback._seal import Opener, Sealer
from busduct._fallback._zmtp import (
    COMMAND,
    GREETING_NBYTES,
    LONG,
    MORE,
    encode_command,
    encode_greeting,
    parse_command,
    parse_error,
)
from busduct.errors import (
    AuthError,
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)

__all__ = ["KEY_NBYTES", "MECHANISM", "NONCE_NBYTES", "Handshake", "Role"]

Role: TypeAlias = Literal["client", "server"]
"""A client connected, a server bound."""

MECHANISM: Final = b"BUSDUCT"
KEY_NBYTES: Final = 32
NONCE_NBYTES: Final = 32

_VERSION = 1
_PROOF_NBYTES = 32
# The longest body: an ERROR with a reason of 255 bytes.
_MAX_BODY_NBYTES = 262
# What a digest under the key is good for. One made for one purpose, or by one side,
# never passes for another, so that nothing can be sent back to whom it came from.
_PROOF_LABELS: dict[Role, bytes] = {
    "client": b"busduct client 1",
    "server": b"busduct server 1",
}
_RECORD_LABELS: dict[Role, bytes] = {
    "client": b"busduct c-seal 1",
    "server": b"busduct s-seal 1",
}


class Handshake:
    """The state of one handshake.

    Attributes:
        greeting: What to greet with.
        channel: What seals our records and what opens the peer's, once the peer has
            proven itself; None before.
        rest: What the peer said behind the handshake, once it has proven itself.
    """

    __slots__ = (
        "_buffer",
        "_is_begun",
        "_key",
        "_nonce",
        "_offset",
        "_role",
        "_transcript",
        "channel",
        "greeting",
        "rest",
    )

    def __init__(self, key: bytes, role: Role, nonce: bytes) -> None:
        """Prepare to prove knowledge of a key.

        Args:
            key: 32 bytes.
            role: Which end of the connection this side is.
            nonce: 32 bytes that were never used before.
        """
        self._key = key
        self._role: Role = role
        self._nonce = nonce
        self._transcript = b""
        self._is_begun = False
        self._buffer = bytearray()
        self._offset = GREETING_NBYTES
        self.greeting = encode_greeting(MECHANISM, as_server=role == "server")
        self.channel: tuple[Sealer, Opener] | None = None
        self.rest = b""

    def begin(self, peer_greeting: bytes, out: bytearray) -> None:
        """Go on once the peer's greeting is whole and was checked.

        Args:
            peer_greeting: Its 64 bytes.
            out: What is to be sent is appended to it.
        """
        if self._role == "client":
            self._transcript = self.greeting + peer_greeting
            out += encode_command(b"HELLO", bytes((_VERSION,)) + self._nonce)
        else:
            self._transcript = peer_greeting + self.greeting

    def feed(self, data: bytes | bytearray | memoryview, out: bytearray) -> None:
        """Take the peer's commands, up to the one that proves it.

        Args:
            data: Bytes as they came.
            out: The answers are appended to it.

        Raises:
            AuthError: The peer does not know the key.
            RemoteProtocolError: It says what the handshake does not want.
        """
        self._buffer += data
        while self.channel is None and (command := self._take_command()):
            name, fields, framed = command
            if self._role == "client":
                out += self._on_welcome(name, fields)
            elif self._is_begun:
                self._on_initiate(name, fields)
            else:
                out += self._on_hello(name, fields)
            self._offset += framed
        if self.channel is not None:
            self.rest = bytes(self._buffer)
            self._buffer.clear()

    def _on_hello(self, name: bytes, fields: bytes) -> bytes:
        self._expect(name, fields, b"HELLO", 1 + NONCE_NBYTES)
        if fields[0] != _VERSION:
            msg = f"peer speaks version {fields[0]} of BUSDUCT; this side speaks 1"
            raise RemoteProtocolError(msg)
        self._agree(fields[1:], self._nonce)
        return encode_command(b"WELCOME", self._nonce + self._proof("server"))

    def _on_welcome(self, name: bytes, fields: bytes) -> bytes:
        self._expect(name, fields, b"WELCOME", NONCE_NBYTES + _PROOF_NBYTES)
        self._agree(self._nonce, fields[:NONCE_NBYTES])
        self._check("server", fields[NONCE_NBYTES:])
        return encode_command(b"INITIATE", self._proof("client"))

    def _on_initiate(self, name: bytes, fields: bytes) -> None:
        self._expect(name, fields, b"INITIATE", _PROOF_NBYTES)
        self._check("client", fields)

    def _agree(self, client: bytes, server: bytes) -> None:
        self._transcript += bytes((_VERSION,)) + client + server
        self._is_begun = True

    def _check(self, role: Role, proof: bytes) -> None:
        """Compare a proof with the one that a side gives if it knows the key."""
        if not hmac.compare_digest(self._proof(role), proof):
            msg = "peer does not know the key"
            raise AuthError(msg)
        client = self._digest(_RECORD_LABELS["client"])
        server = self._digest(_RECORD_LABELS["server"])
        if self._role == "client":
            self.channel = Sealer(client), Opener(server)
        else:
            self.channel = Sealer(server), Opener(client)

    def _proof(self, role: Role) -> bytes:
        return self._digest(_PROOF_LABELS[role])

    def _digest(self, label: bytes) -> bytes:
        digest = hashlib.blake2b(
            self._transcript, digest_size=_PROOF_NBYTES, key=self._key, person=label
        )
        return digest.digest()

    def _take_command(self) -> tuple[bytes, bytes, int] | None:
        """Return name and data of the next command, and the bytes of its frame."""
        buffer = self._buffer
        if not buffer:
            return None
        flags = buffer[0]
        if flags & ~(COMMAND | LONG | MORE) or (flags & COMMAND and flags & MORE):
            raise MalformedFrameError(self._offset, "reserved frame flags")
        header = 9 if flags & LONG else 2
        if len(buffer) < header:
            return None
        if not flags & COMMAND:
            raise MalformedFrameError(self._offset, "message amid the handshake")
        nbytes = int.from_bytes(buffer[1:header], "big")
        if nbytes > _MAX_BODY_NBYTES:
            raise FrameTooLargeError(nbytes, _MAX_BODY_NBYTES)
        framed = header + nbytes
        if len(buffer) < framed:
            return None
        name, data = parse_command(bytes(buffer[header:framed]), self._offset)
        del buffer[:framed]
        if name == b"ERROR":
            msg = f"peer refused: {parse_error(data, self._offset)}"
            raise RemoteProtocolError(msg)
        return name, data, framed

    def _expect(self, name: bytes, fields: bytes, wanted: bytes, nbytes: int) -> None:
        if name != wanted or len(fields) != nbytes:
            reason = "not the command that the handshake wants"
            raise MalformedFrameError(self._offset, reason)
