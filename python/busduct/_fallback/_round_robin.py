"""Each message to the next peer in turn that has room: PUSH, DEALER, PAIR, REQ."""

from busduct._fallback._distributor import SMALL_COST, Distributor
from busduct._fallback._marks import message_cost
from busduct._fallback._peer import Peer
from busduct._fallback._waiting import WaitQueue
from busduct.errors import FullError, RemoteProtocolError

__all__ = ["Pairing", "RoundRobin"]


class RoundRobin(Distributor):
    """Each message to the next peer in turn that has room."""

    _turn = 0
    # A message was refused since much of what was queued has gone.
    _is_starved = False

    def accept(self, message: list[bytes], *, urgent: bool = False) -> WaitQueue | None:
        """Accept a message, or return the queue in which to wait for room."""
        cost = message_cost(message)
        if not self._place(message, cost, urgent=urgent):
            if urgent:
                return self.urgent_room
            if self._policy in {"wait", "error"}:
                self._is_starved = True
                return self.room
            self._overflow(message, cost)
        self._wake()
        return None

    def _place(self, message: list[bytes], cost: int, *, urgent: bool) -> bool:
        """Queue a message where there is room; tell whether there was any."""
        backlog = self.backlog
        waits_behind = backlog.urgent.messages if urgent else backlog
        if not waits_behind and (peer := self._next(cost, urgent=urgent)):
            self._give(peer, message, cost, urgent=urgent)
            return True
        if self.up or self._options.immediate:
            return False
        if not backlog.admits(cost, urgent=urgent):
            return False
        backlog.push(message, cost, urgent=urgent)
        return True

    def _overflow(self, message: list[bytes], cost: int) -> None:
        """Drop this message or older ones, as the policy is."""
        # What only waits to be written at the end of the turn is no reason to drop.
        for peer in tuple(self.up):
            peer.flush()
        if self._place(message, cost, urgent=False):
            return
        is_homeless = not self.up and self._options.immediate
        if self._policy == "drop_new" or is_homeless:
            self._counters.num_dropped += 1
        elif self.backlog or not self.up:
            self.backlog.make_room(cost)
            self.backlog.push(message, cost)
        else:
            peer = self.up[self._turn % len(self.up)]
            self._turn += 1
            peer.outbox.make_room(cost)
            self._give(peer, message, cost, urgent=False)

    def _give(
        self, peer: Peer, message: list[bytes], cost: int, *, urgent: bool
    ) -> None:
        peer.push(message, cost, urgent=urgent)

    def full_error(self, message: list[bytes], *, urgent: bool = False) -> FullError:
        """Say which mark stands in the way."""
        if self._options.immediate and not self.up:
            return FullError("0 messages without a peer")
        queue = self.up[0].outbox if self.up else self.backlog
        return queue.full_error(urgent=urgent)

    def blocker(self) -> WaitQueue | None:
        """Return where to wait until a small message is accepted; None for nowhere."""
        if self._policy == "wait" and not self._admits_small():
            return self.room
        # Who asks takes nothing: the next one may have been woken in its place.
        self._wake()
        return None

    def _admits_small(self) -> bool:
        if not self.up:
            return not self._options.immediate and self.backlog.admits(SMALL_COST)
        has_room = any(peer.outbox.admits(SMALL_COST) for peer in self.up)
        return has_room and not self.backlog and not self._is_starved

    def add(self, peer: Peer) -> None:
        """Let a peer take part; it gets what waits."""
        super().add(peer)
        self._spill()
        self._wake()

    def remove(self, peer: Peer) -> list[list[bytes]]:
        """Take a peer out; what it had not sent goes to the others."""
        at = self.up.index(peer)
        del self.up[at]
        self._turn -= at < self._turn
        self.backlog.absorb(peer.outbox)
        self._spill()
        self.backlog.conflate()
        self._wake()
        return []

    def relieve(self, peer: Peer) -> None:
        """Use the room that a peer has made."""
        self._spill()
        self._wake()

    def _next(self, cost: int, *, urgent: bool) -> Peer | None:
        for _ in range(len(self.up)):
            self._turn %= len(self.up)
            peer = self.up[self._turn]
            self._turn += 1
            if peer.outbox.admits(cost, urgent=urgent):
                return peer
        return None

    def _spill(self) -> None:
        """Move what waits to peers with room, in order."""
        for lane in (self.backlog.urgent, self.backlog.ordinary):
            urgent = lane is self.backlog.urgent
            while lane.messages:
                cost = message_cost(lane.messages[0])
                peer = self._next(cost, urgent=urgent)
                if peer is None:
                    break
                self._give(peer, lane.pop(), cost, urgent=urgent)

    def _wake(self) -> None:
        if (self.room or self._is_starved) and self._has_room(urgent=False):
            self._is_starved = False
            self.room.wake()
        if self.urgent_room and self._has_room(urgent=True):
            self.urgent_room.wake()

    def _has_room(self, *, urgent: bool) -> bool:
        if not self.up:
            is_low = self.backlog.is_low(urgent=urgent)
            return is_low and not self._options.immediate
        waits = self.backlog.urgent.messages if urgent else self.backlog
        return not waits and any(p.outbox.is_low(urgent=urgent) for p in self.up)


class Pairing(RoundRobin):
    """All messages to the one peer: PAIR."""

    def admit(self, peer: Peer) -> None:
        """Turn away a second peer while the first lives."""
        for holder in tuple(self.up):
            # Its end may be known to the kernel and not yet to us.
            holder.sever_if_hung_up()
        if self.up:
            msg = "a PAIR has one peer"
            raise RemoteProtocolError(msg)
