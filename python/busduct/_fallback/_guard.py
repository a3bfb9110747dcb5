"""What stands between a stream and its frames on a keyed link: proofs, then records."""

import os
import socket
from collections.abc import Sequence

from busduct._fallback._auth import NONCE_NBYTES, Handshake, Role
from busduct._fallback._seal import Opener, Sealer
from busduct.errors import AuthError

__all__ = ["Guard", "make_guard"]


def make_guard(
    key: bytes | None, sock: socket.socket, role: Role, *, insecure: bool
) -> "Guard | None":
    """Return what protects a link over `sock`; None where nothing does.

    Args:
        key: That of the context, if it has one.
        sock: A connection; one over a Unix socket needs no key.
        role: Which end of it we are.
        insecure: Do not use the key.
    """
    if key is None or insecure or sock.family == socket.AF_UNIX:
        return None
    return Guard(Handshake(key, role, os.urandom(NONCE_NBYTES)))


class Guard:
    """Makes sure that the peer knows the key, and that each byte is the peer's.

    Attributes:
        greeting: What to greet with.
        is_key_wrong: The peer showed that it does not know the key.
        wire: Bytes to be written as they are, ahead of all others. They count as sent.
    """

    __slots__ = ("_handshake", "_opener", "_sealer", "greeting", "is_key_wrong", "wire")

    def __init__(self, handshake: Handshake) -> None:
        self._handshake = handshake
        self._sealer: Sealer | None = None
        self._opener: Opener | None = None
        self.greeting = handshake.greeting
        self.is_key_wrong = False
        self.wire = bytearray()

    @property
    def is_sealed(self) -> bool:
        """Whether the peer has proven itself, and all travels in records."""
        return self._sealer is not None

    @property
    def is_amid_record(self) -> bool:
        """Whether a record of the peer has begun and not ended."""
        return self._opener is not None and self._opener.is_amid_record

    def begin(self, peer_greeting: bytes, control: bytearray) -> None:
        """Go on once the peer's greeting is whole; say the next thing in `control`."""
        self._handshake.begin(peer_greeting, control)

    def open(self, data: memoryview | bytes, control: bytearray) -> bytes:
        """Take bytes behind the greeting; return the bytes of frames in them.

        Args:
            data: As they came.
            control: Answers are appended to it; once the peer has proven itself, what
                it holds is moved to `wire`, since it goes in clear.

        Raises:
            AuthError: The peer does not know the key.
            RemoteProtocolError: It says what the handshake does not want.
        """
        if self._opener is None:
            try:
                self._handshake.feed(data, control)
            except AuthError:
                self.is_key_wrong = True
                raise
            if self._handshake.channel is None:
                return b""
            self._sealer, self._opener = self._handshake.channel
            self.wire += control
            control.clear()
            data = self._handshake.rest
        self._opener.feed(data)
        return self._opener.take()

    def check(self) -> None:
        """Tell once all frames before it are taken whether a record was tampered with.

        Raises:
            AuthError: It was.
        """
        if self._opener is not None:
            self._opener.check()

    def seal(self, buffers: Sequence[bytes | bytearray | memoryview]) -> int:
        """Seal the front of `buffers` into `wire`; return how many bytes were taken."""
        return self._sealer.seal(buffers, self.wire) if self._sealer else 0
