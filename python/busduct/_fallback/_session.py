"""One peer's side of a ZMTP conversation: greeting, READY, messages; without I/O."""

from typing import Final

from busduct._fallback import _zmtp as zmtp
from busduct._fallback._announcements import Announcements
from busduct._fallback._decoder import MessageDecoder
from busduct._fallback._guard import Guard
from busduct._fallback._kinds import (
    DEALER,
    KIND_NAMES,
    PUB,
    REQ,
    ROUTER,
    XPUB,
    explain_mismatch,
    is_compatible,
)
from busduct._fallback._options import SocketOptions
from busduct.errors import BusductError, MalformedFrameError, RemoteProtocolError

__all__ = ["Session"]

# Kinds that say who they are even without a name, as libzmq's do.
_NAMED: Final = frozenset({DEALER, REQ, ROUTER})
# Answers to PINGs that may wait to be written; a peer that floods loses the rest.
_MAX_CONTROL_NBYTES = 4096
_MAX_ROUTING_ID_NBYTES = 255


class Session:
    """The state of a conversation with one peer.

    Attributes:
        guard: What protects the conversation; None if nothing does.
        control: Greeting and commands to be written; the driver takes them away.
        is_refused: Whether the peer sent an ERROR command; it needs none from us.
        is_up: Whether both sides have said READY.
        peer_routing_id: The id in the peer's READY, empty if it has none.
        peer_ttl: Seconds of silence after which the peer's last PING asked to be given
            up; 0 for no bound.
    """

    __slots__ = (
        "_decoder",
        "_greeting",
        "_is_greeted",
        "_kind",
        "_ready",
        "control",
        "guard",
        "is_refused",
        "is_up",
        "peer_routing_id",
        "peer_ttl",
    )

    def __init__(self, options: SocketOptions, guard: Guard | None = None) -> None:
        self._kind = options.kind
        self._greeting = bytearray()
        self._is_greeted = False
        self._decoder = MessageDecoder(
            options.max_message_bytes, options.max_parts, zmtp.GREETING_NBYTES
        )
        properties = [(b"Socket-Type", KIND_NAMES[options.kind].encode())]
        if options.routing_id or options.kind in _NAMED:
            properties.append((b"Identity", options.routing_id))
        self._ready = zmtp.encode_ready(properties)
        self.guard = guard
        self.control = bytearray(guard.greeting if guard else zmtp.encode_greeting())
        self.is_refused = False
        self.is_up = False
        self.peer_routing_id = b""
        self.peer_ttl = 0.0

    @property
    def is_amid_message(self) -> bool:
        """Whether the peer has begun a frame or a message and not ended it."""
        is_amid_record = self.guard is not None and self.guard.is_amid_record
        return is_amid_record or self._decoder.is_partial

    @property
    def is_flushed(self) -> bool:
        """Whether nothing is to be written besides messages that are not begun."""
        return not self.control and not (self.guard and self.guard.wire)

    @property
    def frame_offset(self) -> int:
        """Where the frame last taken starts in the peer's byte stream."""
        return self._decoder.frame_offset

    def announce(self, announcements: Announcements) -> None:
        """Tell the peer of subscriptions, as many as may wait to be written."""
        while announcements and len(self.control) < _MAX_CONTROL_NBYTES:
            topic, is_wanted = announcements.pop()
            self.control += self._encode_subscription(topic, is_wanted=is_wanted)

    def _encode_subscription(self, topic: bytes, *, is_wanted: bool) -> bytes:
        if zmtp.has_subscription_commands(self._greeting):
            return zmtp.encode_command(b"SUBSCRIBE" if is_wanted else b"CANCEL", topic)
        return b"".join(zmtp.encode_message([bytes((is_wanted,)) + topic]))

    def feed(self, data: memoryview | bytes) -> None:
        """Take bytes as they came from the peer.

        Raises:
            AuthError: It does not know the key.
            RemoteProtocolError: Its greeting is not one that can be answered, or it
                says what the handshake of the key does not want.
        """
        guard = self.guard
        if not self._is_greeted:
            wanted = zmtp.GREETING_NBYTES - len(self._greeting)
            self._greeting += data[:wanted]
            data = data[wanted:]
            ours = guard.greeting if guard else None
            if not zmtp.parse_greeting(self._greeting, ours):
                return
            self._is_greeted = True
            if guard is None:
                self.control += self._ready
            else:
                guard.begin(bytes(self._greeting), self.control)
        if guard is not None:
            was_sealed = guard.is_sealed
            data = guard.open(data, self.control)
            if guard.is_sealed and not was_sealed:
                self.control += self._ready
        self._decoder.feed(data)

    def take(self) -> list[bytes] | None:
        """Return the next message of the peer, or None; commands are done on the way.

        Raises:
            AuthError: Somebody tampered with what the peer sent.
            RemoteProtocolError: The peer broke the protocol, or cannot be spoken to.
        """
        while (item := self._decoder.take()) is not None:
            if isinstance(item, list):
                if not self.is_up:
                    offset = self._decoder.frame_offset
                    raise MalformedFrameError(offset, "message before READY")
                return item
            message = self._obey(item)
            if message is not None:
                return message
        if self.guard is not None:
            self.guard.check()
        return None

    def discard(self) -> None:
        """Forget what was to be written."""
        self.control.clear()
        if self.guard is not None:
            self.guard.wire.clear()

    def refuse(self, error: BusductError) -> bytes:
        """Return what is to be sent before the stream is closed; empty for nothing.

        Bytes that do not parse get no answer, and a refusal is not refused.
        """
        if type(error) is RemoteProtocolError and not self.is_refused:
            self.control += zmtp.encode_error(str(error))
        elif self.guard is not None and self.guard.is_key_wrong:
            self.control += zmtp.encode_error("wrong key")
        else:
            return b""
        if self.guard is None or not self.guard.is_sealed:
            return bytes(self.control)
        self.guard.seal([self.control])
        return bytes(self.guard.wire)

    def _obey(self, body: bytes) -> list[bytes] | None:
        """Do what a command says; return it if it is as good as a message."""
        offset = self._decoder.frame_offset
        name, data = zmtp.parse_command(body, offset)
        if name == b"READY":
            self._accept(zmtp.parse_metadata(data, offset), offset)
        elif name == b"ERROR":
            msg = f"peer refused: {zmtp.parse_error(data, offset)}"
            self.is_refused = True
            raise RemoteProtocolError(msg)
        elif name == b"PING":
            self.peer_ttl, context = zmtp.parse_ping(data, offset)
            if len(self.control) < _MAX_CONTROL_NBYTES:
                self.control += zmtp.encode_pong(context)
        elif name in {b"SUBSCRIBE", b"CANCEL"}:
            return self._to_subscription(name.decode(), data, offset)
        return None

    def _to_subscription(self, name: str, topic: bytes, offset: int) -> list[bytes]:
        """Return the message by which peers of ZMTP 3.0 say the same."""
        if self._kind not in {PUB, XPUB}:
            msg = f"{name} to a socket that does not publish"
            raise MalformedFrameError(offset, msg)
        if not self.is_up:
            raise MalformedFrameError(offset, f"{name} before READY")
        return [bytes((name == "SUBSCRIBE",)) + topic]

    def _accept(self, properties: dict[bytes, bytes], offset: int) -> None:
        if self.is_up:
            raise MalformedFrameError(offset, "second READY")
        kind = properties.get(b"socket-type", b"")
        routing_id = properties.get(b"identity", b"")
        if len(routing_id) > _MAX_ROUTING_ID_NBYTES:
            raise MalformedFrameError(offset, "routing id over 255 bytes")
        if not is_compatible(self._kind, kind):
            raise RemoteProtocolError(explain_mismatch(self._kind, kind))
        if routing_id[:1] == b"\0":
            msg = "routing id starts with a zero byte"
            raise RemoteProtocolError(msg)
        self.peer_routing_id = routing_id
        self.is_up = True
