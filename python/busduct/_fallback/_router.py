"""Each message to the peer that its first part names: ROUTER."""

from busduct._fallback._counters import Counters
from busduct._fallback._distributor import Distributor
from busduct._fallback._marks import message_cost
from busduct._fallback._options import SocketOptions
from busduct._fallback._peer import Peer
from busduct._fallback._waiting import WaitQueue
from busduct.errors import (
    FullError,
    LocalProtocolError,
    PeerLostError,
    RemoteProtocolError,
)

__all__ = ["Router"]


class Router(Distributor):
    """Each message to the peer that its first part names."""

    def __init__(self, options: SocketOptions, counters: Counters) -> None:
        super().__init__(options, counters)
        self._routes: dict[bytes, Peer] = {}
        self._num_generated = 0

    def check(self, message: list[bytes]) -> None:
        """Check that a message names its peer and says something."""
        if len(message) == 1:
            msg = "a ROUTER message starts with a routing id; use send_multipart"
            raise LocalProtocolError(msg)
        super().check(message)

    def accept(self, message: list[bytes], *, urgent: bool = False) -> WaitQueue | None:
        """Accept a message, or return the queue in which to wait for room."""
        parts = message[1:]
        cost = message_cost(parts)
        peer = self._route(message)
        if peer is not None and not peer.outbox.admits(cost, urgent=urgent):
            if urgent:
                return peer.urgent_room
            if self._policy in {"wait", "error"}:
                return peer.room
            # What only waits to be written at the end of the turn is no reason to drop.
            peer.flush()
            peer = self._make_room(self._route(message), cost)
        if peer is None:
            self._counters.num_dropped += 1
            return None
        peer.push(parts, cost, urgent=urgent)
        self.relieve(peer)
        return None

    def _route(self, message: list[bytes]) -> Peer | None:
        peer = self._routes.get(message[0])
        if peer is None and self._options.router_mandatory:
            raise PeerLostError(message[0].hex())
        return peer

    def _make_room(self, peer: Peer | None, cost: int) -> Peer | None:
        """Drop what the policy says; None if that is the new message."""
        if peer is None or peer.outbox.admits(cost):
            return peer
        if self._policy == "drop_new":
            return None
        peer.outbox.make_room(cost)
        return peer

    def full_error(self, message: list[bytes], *, urgent: bool = False) -> FullError:
        """Say which mark stands in the way."""
        peer = self._route(message)
        queue = self.backlog if peer is None else peer.outbox
        return queue.full_error(urgent=urgent)

    def blocker(self) -> WaitQueue | None:
        """Return nowhere: whether a message waits depends on whom it is for."""
        return None

    def admit(self, peer: Peer) -> None:
        """Turn away an id in use, or take it from its holder."""
        holder = self._routes.get(peer.peer_routing_id)
        if holder is None:
            return
        # Its end may be known to the kernel and not yet to us.
        holder.sever_if_hung_up()
        if peer.peer_routing_id not in self._routes:
            return
        if not self._options.router_handover:
            msg = "routing id is in use"
            raise RemoteProtocolError(msg)
        holder.close(None)

    def add(self, peer: Peer) -> None:
        """Let a peer take part, under its own id or one that is made up."""
        peer.routing_id = peer.peer_routing_id or self._generate()
        self._routes[peer.routing_id] = peer
        super().add(peer)

    def remove(self, peer: Peer) -> list[list[bytes]]:
        """Take a peer out; return what is lost by it."""
        del self._routes[peer.routing_id]
        return [[peer.routing_id, *parts] for parts in super().remove(peer)]

    def relieve(self, peer: Peer) -> None:
        """Use the room that a peer has made."""
        if peer.room and peer.outbox.is_low():
            peer.room.wake()
        if peer.urgent_room and peer.outbox.is_low(urgent=True):
            peer.urgent_room.wake()

    def take_all(self) -> list[list[bytes]]:
        """Take all that is unsent."""
        return [
            [peer.routing_id, *parts]
            for peer in self.up
            for parts in peer.outbox.take_all()
        ]

    def _generate(self) -> bytes:
        # No peer may begin its own id with a zero byte.
        while True:
            self._num_generated = (self._num_generated + 1) & 0xFFFFFFFF
            routing_id = b"\0" + self._num_generated.to_bytes(4, "big")
            if routing_id not in self._routes:
                return routing_id
