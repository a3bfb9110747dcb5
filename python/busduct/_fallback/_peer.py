"""What the patterns see of one peer: two bounded queues and where they stand."""

import abc
from collections import deque
from typing import TYPE_CHECKING

from busduct._fallback._announcements import Announcements
from busduct._fallback._marks import message_cost
from busduct._fallback._send_queue import SendQueue
from busduct._fallback._waiting import WaitQueue
from busduct.errors import BusductError, RemoteProtocolError

if TYPE_CHECKING:
    from busduct._fallback._connector import Connector
    from busduct._fallback._inproc import InprocConnector
    from busduct._fallback._pattern import Pattern

__all__ = ["Peer"]


class Peer(abc.ABC):
    """One peer of a socket, however its messages travel.

    Attributes:
        endpoint: What it came through, for errors.
        connector: Who connects again when it is lost; None if the peer connected.
        is_up: The handshake is complete and the socket told.
        is_listed: It takes part: messages may be queued for it.
        is_refused: The handshake is complete and the socket will not have the peer.
        is_draining: Nothing more is sent, and what comes is dropped.
        is_ready: It waits for its turn to be received from.
        routing_id: What a ROUTER calls the peer.
        topics: What the peer subscribed to.
        announcements: Subscriptions of ours that it is still to be told of.
        inbox: Messages that came and are not taken.
        inbox_cost: What they count.
        outbox: Messages not yet handed over.
        room: Senders that wait for this peer.
        urgent_room: Senders of urgent messages that wait for it.
    """

    def __init__(
        self,
        pattern: "Pattern",
        endpoint: str,
        connector: "Connector | InprocConnector | None" = None,
    ) -> None:
        options = pattern.options
        self._pattern = pattern
        self._reactor = pattern.reactor
        self._counters = pattern.record.counters
        self._marks = options.marks
        self._recv_policy = options.recv_policy
        self._is_paused = False
        self._is_dirty = False
        self.endpoint = endpoint
        self.connector = connector
        self.is_up = False
        self.is_listed = False
        self.is_refused = False
        self.is_draining = False
        self.is_ready = False
        self.routing_id = b""
        self.topics: set[bytes] = set()
        self.announcements = Announcements()
        self.inbox: deque[list[bytes]] = deque()
        self.inbox_cost = 0
        self.outbox = SendQueue(options, self._counters)
        self.room = WaitQueue()
        self.urgent_room = WaitQueue()

    @property
    @abc.abstractmethod
    def is_open(self) -> bool:
        """Whether messages may still come."""

    @property
    @abc.abstractmethod
    def is_flushed(self) -> bool:
        """Whether all that was to be sent is."""

    @property
    @abc.abstractmethod
    def peer_routing_id(self) -> bytes:
        """The id that the peer announced; empty if it has none."""

    @property
    def frame_offset(self) -> int:
        """Where the last frame of the peer starts in its byte stream."""
        return 0

    @abc.abstractmethod
    def start(self) -> None:
        """Begin to speak with the peer."""

    @abc.abstractmethod
    def flush(self) -> None:
        """Hand over what is to be sent, as far as it is taken."""

    @abc.abstractmethod
    def resume(self) -> None:
        """Go on receiving, if that has stopped."""

    @abc.abstractmethod
    def post(self, message: list[bytes]) -> None:
        """Send a message ahead of all others, that no queue counts."""

    @abc.abstractmethod
    def drain(self) -> bool:
        """Send no more, and wait for the peer to end; False where pointless."""

    def part(self) -> bool:
        """Let what counts as sent go out before the end; False where all of it has."""
        return False

    @abc.abstractmethod
    def close(self, error: BusductError | None) -> None:
        """End the link; what came can still be taken. Idempotent.

        Args:
            error: What the peer did wrong, if it did.
        """

    def sever_if_hung_up(self) -> None:  # noqa: B027
        """Send no more if the peer is known to be gone; what it sent is still read."""

    def push(self, message: list[bytes], cost: int, *, urgent: bool = False) -> None:
        """Accept a message that fits."""
        self.outbox.push(message, cost, urgent=urgent)
        self._mark_dirty()

    def announce(self, topic: bytes, *, is_wanted: bool) -> None:
        """Tell the peer that a topic is subscribed to, or is so no more."""
        self.announcements.add(topic, is_wanted=is_wanted)
        self._mark_dirty()

    def keep(self, message: list[bytes]) -> bool:
        """Queue a message that came; False if it is dropped instead."""
        cost = message_cost(message)
        if not self._make_inbox_room(cost):
            self._counters.num_dropped += 1
            return False
        self.inbox.append(message)
        self.inbox_cost += cost
        return True

    def _make_inbox_room(self, cost: int) -> bool:
        policy = self._recv_policy
        if policy == "wait":
            return True
        while self.inbox and (
            policy == "conflate"
            or not self._marks.admit(len(self.inbox), self.inbox_cost, cost)
        ):
            if policy == "drop_new":
                return False
            self.inbox_cost -= message_cost(self.inbox.popleft())
            self._counters.num_dropped += 1
        return True

    @property
    def _has_inbox_room(self) -> bool:
        return self._recv_policy != "wait" or self._marks.admit(
            len(self.inbox), self.inbox_cost, 0
        )

    def pop(self) -> list[bytes]:
        """Take the next message; go on receiving once few are left."""
        message = self.inbox.popleft()
        self.inbox_cost -= message_cost(message)
        if self._is_paused and self._marks.is_low(len(self.inbox), self.inbox_cost):
            self.resume()
        self._leave_if_done()
        return message

    def discard_inbox(self) -> None:
        """Drop what came, and go on receiving."""
        self.inbox.clear()
        self.inbox_cost = 0
        if self._is_paused:
            self.resume()
        self._leave_if_done()

    def _leave_if_done(self) -> None:
        """Have the socket forget a link that ended and of which all is taken."""
        if not self.is_open and not self.inbox:
            self._pattern.forget(self)

    def _come_up(self) -> None:
        """Take part, if the socket will have the peer."""
        try:
            self._pattern.admit(self)
        except RemoteProtocolError:
            self.is_refused = True
            raise
        self.is_up = True
        self._pattern.on_up(self)

    def _mark_dirty(self) -> None:
        if not self._is_dirty:
            self._is_dirty = True
            self._reactor.flush_later(self)
