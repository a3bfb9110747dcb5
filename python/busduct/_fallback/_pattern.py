"""One socket: its links, who gets and gives messages, and its end."""

import enum
from dataclasses import asdict

from busduct._fallback._counters import Counters
from busduct._fallback._endpoints import Endpoints
from busduct._fallback._halves import make_halves
from busduct._fallback._inproc import InprocNames
from busduct._fallback._monitor import EventLog
from busduct._fallback._options import SocketOptions
from busduct._fallback._outbox import Written
from busduct._fallback._peer import Peer
from busduct._fallback._reactor import Reactor
from busduct._fallback._record import Record
from busduct._fallback._timer import Timer
from busduct._fallback._waiting import WaitQueue
from busduct.errors import BusductError, RemoteProtocolError
from busduct.monitor import EventKind, MonitorEvent
from busduct.statistics import PeerStatistics, SocketStatistics

__all__ = ["Pattern", "State"]


class State(enum.Enum):
    """The life of a socket."""

    OPEN = enum.auto()
    LINGERING = enum.auto()
    CLOSED = enum.auto()


class Pattern:
    """The state of one socket; the reactor and the links drive it.

    Attributes:
        reactor: What moves its bytes.
        options: As it was opened.
        record: What it has done, and what went wrong.
        endpoints: Where it listens, and where it connects to.
        collector: Where messages are taken from.
        distributor: Where messages are given to.
        state: Whether it is open.
        ended: Who waits for it to be closed.
    """

    def __init__(
        self, reactor: Reactor, options: SocketOptions, names: InprocNames
    ) -> None:
        self.reactor = reactor
        self.options = options
        self.record = Record(options.marks)
        self.endpoints = Endpoints(self, names)
        self.distributor, self.collector = make_halves(options, self.record.counters)
        self.state = State.OPEN
        self.ended = WaitQueue()
        self._links: dict[Peer, None] = {}
        self._linger_timer: Timer | None = None
        self._is_finishing = False
        self._log = EventLog(1)
        self._log.end()

    @property
    def is_open(self) -> bool:
        """Whether it is not closed, and not closing."""
        return self.state is State.OPEN

    @property
    def counters(self) -> Counters:
        """What it has done."""
        return self.record.counters

    @property
    def is_crowded(self) -> bool:
        """Whether no more connections may be accepted.

        Links that ended and still hold messages count: a peer that comes and goes must
        not pile up inboxes.
        """
        limit = self.options.max_peers + self.endpoints.num_connectors
        return len(self._links) >= limit

    def add_link(self, link: Peer) -> None:
        """Start a link over a fresh connection."""
        self._links[link] = None
        link.start()

    def forget(self, link: Peer) -> None:
        """Let go of a link that ended and of which all is taken."""
        self._links.pop(link, None)

    def admit(self, link: Peer) -> None:
        """Judge a peer that completed its handshake.

        Raises:
            RemoteProtocolError: It is turned away.
        """
        try:
            self.distributor.admit(link)
        except RemoteProtocolError:
            self.counters.num_refused += 1
            raise

    def on_up(self, link: Peer) -> None:
        """Let a peer take part."""
        self.counters.num_connected += 1
        if link.connector is not None:
            link.connector.succeeded()
        if self.options.probe_router:
            link.post([b""])
        link.is_listed = True
        self.distributor.add(link)
        self.report("connected", link.endpoint, link.routing_id)

    def deliver(self, link: Peer, message: list[bytes]) -> bool:
        """Deal with a message that came; False to be offered it again later.

        Raises:
            RemoteProtocolError: The peer may not say that.
        """
        return not self.is_open or self.collector.deliver(link, message)

    def on_written(self, link: Peer, done: Written) -> None:
        """Count messages that were sent, and use the room."""
        self.counters.num_messages_sent += done.num_messages
        self.counters.num_bytes_sent += done.nbytes
        if link.is_listed:
            self.distributor.relieve(link)
        self.finish_if_done()

    def on_lost(self, link: Peer) -> None:
        """Take a peer out that can be sent nothing any more."""
        if link.is_listed:
            link.is_listed = False
            self.counters.num_disconnected += 1
            lost = self.distributor.remove(link)
            self.record.lose(lost, keep=self.distributor.keeps_lost)

    def on_down(self, link: Peer, error: BusductError | None) -> None:
        """Forget a link, unless messages of it are still to be taken."""
        if not link.is_up:
            self.counters.num_handshakes_failed += 1
        self.record.note_end(error)
        self.on_lost(link)
        self.collector.lose(link)
        if not link.inbox or not self.is_open:
            self.forget(link)
        self._report_down(link, error)
        if link.connector is not None:
            link.connector.put_off()
        self.finish_if_done()

    def _report_down(self, link: Peer, error: BusductError | None) -> None:
        if link.is_up:
            self.report("disconnected", link.endpoint, link.routing_id, error)
        elif link.is_refused:
            self.report("refused", link.endpoint, error=error)
        else:
            self.report("handshake_failed", link.endpoint, error=error)

    def report(
        self,
        kind: EventKind,
        endpoint: str,
        routing_id: bytes = b"",
        error: BusductError | None = None,
    ) -> None:
        """Tell the monitor, if there is one, what happened to a connection."""
        if not self._log.is_ended:
            self._log.append(
                MonitorEvent(
                    kind=kind, endpoint=endpoint, routing_id=routing_id, error=error
                )
            )

    def watch(self, log: EventLog) -> None:
        """Report to this log from here on, and to the one before no more."""
        self._log.end()
        self._log = log

    def note(self, error: BusductError) -> None:
        """Remember what a peer did wrong."""
        self.record.note(error)

    def close(self, linger: float | None) -> None:
        """Stop receiving and listening; go on sending for a while. Idempotent."""
        if not self.is_open:
            return
        self.state = State.LINGERING
        self.endpoints.stop_listening()
        self._log.end()
        self.collector.clear()
        for link in list(self._links):
            link.discard_inbox()
        self.collector.waiters.wake_all()
        self.distributor.wake_all()
        self.reactor.flush()
        if linger == 0:
            self.give_up()
        else:
            if linger is not None:
                self._linger_timer = self.reactor.call_later(linger, self.give_up)
            self.finish_if_done()

    def finish_if_done(self) -> None:
        """End a lingering socket once all is written, or nobody can take the rest."""
        if self.state is not State.LINGERING or self._is_finishing:
            return
        has_outlook = self.endpoints.num_connectors or self._links
        if self.distributor.backlog and has_outlook:
            return
        if any(not link.is_flushed for link in self.distributor.up):
            return
        self.endpoints.stop_connecting()
        # Each link that ends here comes back to this method.
        self._is_finishing = True
        for link in list(self._links):
            if not link.is_draining and not link.drain():
                link.close(None)
        self._is_finishing = False
        if not self._links:
            self._end()

    def give_up(self) -> None:
        """End a lingering socket; what is unsent is lost, and known to be."""
        if self.state is not State.LINGERING:
            return
        self._end()

    def _end(self) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        lost = self.distributor.take_all()
        self.record.lose(lost, keep=self.distributor.keeps_lost)
        self.endpoints.stop_connecting()
        for link in list(self._links):
            link.close(None)
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self.ended.wake_all()

    def statistics(self) -> SocketStatistics:
        """Return the counters, and the queues as they stand."""
        outboxes = [link.outbox for link in self.distributor.up]
        outboxes.append(self.distributor.backlog)
        num_notices, notices_nbytes = self.collector.statistics()
        num_received = sum(len(link.inbox) for link in self._links)
        received_nbytes = sum(link.inbox_cost for link in self._links)
        return SocketStatistics(
            num_peers=len(self.distributor.up),
            num_send_queued=sum(map(len, outboxes)),
            num_send_queued_bytes=sum(outbox.cost for outbox in outboxes),
            num_recv_queued=num_received + num_notices,
            num_recv_queued_bytes=received_nbytes + notices_nbytes,
            num_subscriptions=self.distributor.num_subscriptions,
            **asdict(self.counters),
        )

    def peers(self) -> list[PeerStatistics]:
        """Return the peers that take part, in the order in which they came."""
        return [
            PeerStatistics(
                endpoint=link.endpoint,
                routing_id=link.routing_id or link.peer_routing_id,
                num_send_queued=len(link.outbox),
                num_send_queued_bytes=link.outbox.cost,
                num_recv_queued=len(link.inbox),
                num_recv_queued_bytes=link.inbox_cost,
            )
            for link in self.distributor.up
        ]
