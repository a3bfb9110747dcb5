"""The link to a peer over a non-blocking stream, from its handshake to its end."""

import contextlib
import functools
import socket
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Final

from busduct._fallback import _zmtp as zmtp
from busduct._fallback._guard import Guard
from busduct._fallback._heartbeat import Heartbeat
from busduct._fallback._outbox import Written
from busduct._fallback._peer import Peer
from busduct._fallback._session import Session
from busduct._fallback._stream import has_ended, has_unread, is_hung_up
from busduct.errors import (
    AuthError,
    BusductError,
    HandshakeError,
    PeerLostError,
    RemoteProtocolError,
)

if TYPE_CHECKING:
    from busduct._fallback._connector import Connector
    from busduct._fallback._pattern import Pattern

__all__ = ["Link"]

# Bytes queued after which a link is written without waiting for the turn's end.
_FLUSH_COST: Final = 64 << 10
# How long a peer may take to read what it was sent, where the linger has no bound.
_MAX_DRAINING_SECONDS: Final = 1.0


class Link(Peer):
    """One peer over a stream.

    Attributes:
        is_severed: Nothing can be written any more; what the peer sent is still read.
        deadline: The timer of the handshake.
    """

    def __init__(
        self,
        pattern: "Pattern",
        sock: socket.socket,
        endpoint: str,
        connector: "Connector | None" = None,
        guard: Guard | None = None,
    ) -> None:
        super().__init__(pattern, endpoint, connector)
        self._session = Session(pattern.options, guard)
        self._heartbeat = Heartbeat(self, pattern.reactor, pattern.options)
        self._ping = zmtp.encode_ping(pattern.options.heartbeat_ttl or 0.0)
        self._sock: socket.socket | None = sock
        self._watched = 0
        self._is_blocked = False
        self._has_sent = False
        self._held: list[bytes] | None = None
        self.is_severed = False
        self.deadline = self._reactor.call_later(
            pattern.options.handshake_timeout, self._time_out
        )

    @property
    def is_open(self) -> bool:
        """Whether the stream is open."""
        return self._sock is not None

    @property
    def is_flushed(self) -> bool:
        """Whether all that was to be written is."""
        return not self.outbox and self._session.is_flushed

    @property
    def peer_routing_id(self) -> bytes:
        """The id in the peer's READY; empty if it has none."""
        return self._session.peer_routing_id

    @property
    def frame_offset(self) -> int:
        """Where the last frame of the peer starts in its byte stream."""
        return self._session.frame_offset

    def start(self) -> None:
        """Greet the peer."""
        self.flush()
        self._watch()

    def push(self, message: list[bytes], cost: int, *, urgent: bool = False) -> None:
        """Accept a message that fits."""
        super().push(message, cost, urgent=urgent)
        if self.outbox.cost > _FLUSH_COST:
            self.flush()

    def post(self, message: list[bytes]) -> None:
        """Send a message ahead of all others, that no queue counts."""
        self._session.control += b"".join(zmtp.encode_message(message))
        self._mark_dirty()

    def resume(self) -> None:
        """Go on reading, if that has stopped."""
        if self._is_paused:
            self._is_paused = False
            self._parse()
            self._watch()

    def on_events(self, mask: int) -> None:
        """Do what is ready."""
        if self._sock is not None and mask & EVENT_WRITE:
            self._is_blocked = False
            self.flush()
        if self._sock is not None and mask & EVENT_READ:
            self.read()
        self._watch()

    def read(self) -> None:
        """Read once, and parse what came."""
        if self._sock is None or self._is_paused:
            return
        try:
            nbytes = self._sock.recv_into(self._reactor.scratch)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            nbytes = 0
        if nbytes == 0:
            is_cut = self._session.is_amid_message and not self.is_draining
            self.close(PeerLostError(self.endpoint) if is_cut else None)
        elif not self.is_draining:
            try:
                self._session.feed(self._reactor.scratch[:nbytes])
            except RemoteProtocolError as error:
                self.close(error)
            except AuthError as error:
                self._close_unproven(error)
            else:
                self._parse()
                if self.is_open:
                    self._heartbeat.on_read(self._session.peer_ttl)

    def _parse(self) -> None:
        try:
            while self._has_inbox_room:
                message = self._held or self._next_message()
                self._held = None
                if message is None:
                    break
                if not self._pattern.deliver(self, message):
                    self._held = message
                    self._is_paused = True
                    break
            else:
                self._is_paused = True
        except RemoteProtocolError as error:
            self.close(error)
            return
        except AuthError as error:
            self._close_unproven(error)
            return
        if self._session.control:
            self._mark_dirty()

    def _close_unproven(self, error: AuthError) -> None:
        self.close(AuthError(f"{self.endpoint}: {error}"))

    def _next_message(self) -> list[bytes] | None:
        try:
            return self._session.take()
        finally:
            # READY may be followed by what breaks the protocol.
            if self._session.is_up and not self.is_up:
                self._come_up()

    def _come_up(self) -> None:
        super()._come_up()
        self.deadline.cancel()
        if self.is_open:
            self._heartbeat.start()

    def flush(self) -> None:
        """Write until all is written or the kernel takes no more."""
        self._is_dirty = False
        if self._sock is None or self.is_severed or self._is_blocked:
            return
        done = Written()
        if self.outbox and has_ended(self._sock):
            self._lose_writing()
            return
        try:
            while not self._is_blocked and self._write(self._sock, done):
                pass
        except OSError:
            self._lose_writing()
            return
        if done.num_messages:
            self._pattern.on_written(self, done)
        if self.is_draining and self.is_flushed and self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        self._watch()

    def _write(self, sock: socket.socket, done: Written) -> bool:
        """Write one batch; return whether there was one."""
        control = self._session.control
        if self.is_up and self.announcements:
            self._session.announce(self.announcements)
        guard = self._session.guard
        if guard is not None and guard.is_sealed:
            return self._write_sealed(sock, guard, done)
        try:
            if control and not self.outbox.is_amid_message:
                taken = sock.send(control)
                del control[:taken]
                self._is_blocked = bool(control)
            elif self.outbox and self.is_up:
                self._has_sent = True
                took_all = self.outbox.write(
                    sock.sendmsg, done, only_first=bool(control)
                )
                self._is_blocked = not took_all
            else:
                return False
        except (BlockingIOError, InterruptedError):
            self._is_blocked = True
        else:
            self._heartbeat.on_written(is_all=not control)
        return True

    def _write_sealed(self, sock: socket.socket, guard: Guard, done: Written) -> bool:
        """Write what is sealed, or seal one batch; return whether there was one."""
        control = self._session.control
        if guard.wire:
            with contextlib.suppress(BlockingIOError, InterruptedError):
                del guard.wire[: sock.send(guard.wire)]
                self._heartbeat.on_written(is_all=not (control or guard.wire))
            self._is_blocked = bool(guard.wire)
        elif control and not self.outbox.is_amid_message:
            del control[: guard.seal([control])]
        elif self.outbox and self.is_up:
            self._has_sent = True
            self.outbox.write(guard.seal, done, only_first=bool(control))
        else:
            return False
        return True

    @property
    def has_unread(self) -> bool:
        """Whether something came that was not read yet."""
        return self._sock is not None and has_unread(self._sock)

    def ping(self) -> None:
        """Send a PING, unless one is still to be written."""
        control = self._session.control
        if not control.endswith(self._ping):
            control += self._ping
            self._mark_dirty()

    def fall_silent(self) -> None:
        """End: the peer said nothing for too long."""
        self.close(PeerLostError(self.endpoint))

    def sever_if_hung_up(self) -> None:
        """Send no more if the peer is known to be gone; what it sent is still read."""
        if self._sock is not None and is_hung_up(self._sock):
            self._lose_writing()

    def _lose_writing(self) -> None:
        if not self.is_up:
            self.close(None)
            return
        self.is_severed = True
        self._heartbeat.stop()
        self._is_blocked = False
        self._session.discard()
        self._pattern.on_lost(self)
        self._watch()

    def _watch(self) -> None:
        if self._sock is None:
            return
        wanted = 0 if self._is_paused else EVENT_READ
        if self._is_blocked:
            wanted |= EVENT_WRITE
        self._reactor.watch(self._sock.fileno(), self._watched, wanted, self)
        self._watched = wanted

    def _time_out(self) -> None:
        timeout = self._pattern.options.handshake_timeout
        self.close(HandshakeError(self.endpoint, f"not complete after {timeout} s"))

    def drain(self) -> bool:
        """Send no more, drop what comes until the peer ends; False where pointless.

        Closing a TCP socket with unread bytes resets it, and a reset takes with it what
        the kernel has not delivered yet.
        """
        if self._sock is None or self._sock.family == socket.AF_UNIX:
            return False
        if not self._has_sent:
            return False
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        self.is_draining = True
        self._heartbeat.stop()
        self.discard_inbox()
        return True

    def part(self) -> bool:
        """Let what is sealed be written before the stream ends: it counts as sent.

        False where nothing is; the link can just be closed.
        """
        guard, linger = self._session.guard, self._pattern.options.linger
        if self._sock is None or guard is None or not guard.wire or linger == 0:
            return False
        self.is_draining = True
        self._heartbeat.stop()
        self._session.control.clear()
        self._pattern.on_lost(self)
        bound = _MAX_DRAINING_SECONDS if linger is None else linger
        end = functools.partial(self.close, None)
        self.deadline = self._reactor.call_later(bound, end)
        return True

    def discard_inbox(self) -> None:
        """Drop what was parsed, and read on."""
        self._held = None
        super().discard_inbox()
        self._watch()

    def _refuse(self, sock: socket.socket, error: BusductError) -> None:
        """Tell the peer why its link ends, as far as the kernel takes it at once."""
        if not self.outbox.is_amid_message and (said := self._session.refuse(error)):
            with contextlib.suppress(OSError):
                sock.send(said)

    def close(self, error: BusductError | None) -> None:
        """Close the stream; what was parsed can still be taken. Idempotent.

        Args:
            error: What the peer did wrong, if it did.
        """
        if self._sock is None:
            return
        sock, self._sock = self._sock, None
        self.deadline.cancel()
        self._heartbeat.stop()
        if error is not None:
            self._refuse(sock, error)
        if not self._reactor.is_foreign and not self._reactor.is_closed:
            self._reactor.watch(sock.fileno(), self._watched, 0, self)
        self._watched = 0
        sock.close()
        self._pattern.on_down(self, error)
