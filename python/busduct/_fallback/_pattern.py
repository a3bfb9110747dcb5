"""One socket: its links, who gets and gives messages, and its end."""

import enum
from collections import deque
from dataclasses import asdict

from busduct._fallback._acceptor import Acceptor
from busduct._fallback._collector import Collector
from busduct._fallback._connector import Connector
from busduct._fallback._counters import Counters
from busduct._fallback._distributor import RoundRobin, Router
from busduct._fallback._endpoint import check_text, parse_endpoint
from busduct._fallback._kinds import PUSH, ROUTER
from busduct._fallback._link import Link
from busduct._fallback._listener import open_listener
from busduct._fallback._marks import message_cost
from busduct._fallback._monitor import EventLog
from busduct._fallback._options import SocketOptions
from busduct._fallback._outbox import Outbox, Written
from busduct._fallback._reactor import Reactor, Timer
from busduct._fallback._waiting import WaitQueue
from busduct.errors import (
    BusductError,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
)
from busduct.monitor import EventKind, MonitorEvent
from busduct.statistics import SocketStatistics

__all__ = ["Pattern", "State"]

_MAX_FAULTS = 16


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
        counters: What it has done.
        collector: Where messages are taken from.
        distributor: Where messages are given to.
        state: Whether it is open.
        ended: Who waits for it to be closed.
        last_endpoint: The endpoint bound last.
    """

    def __init__(self, reactor: Reactor, options: SocketOptions) -> None:
        self.reactor = reactor
        self.options = options
        self.counters = Counters()
        self.collector = Collector()
        is_router = options.kind == ROUTER
        self._router = Router(options.marks) if is_router else None
        self.distributor = self._router or RoundRobin(options.marks)
        self.state = State.OPEN
        self.ended = WaitQueue()
        self.last_endpoint = ""
        self._links: dict[Link, None] = {}
        self._acceptors: list[Acceptor] = []
        self._connectors: list[Connector] = []
        self._faults: deque[BusductError] = deque(maxlen=_MAX_FAULTS)
        self._undelivered = Outbox()
        self._linger_timer: Timer | None = None
        self._is_finishing = False
        self._log = EventLog(1)
        self._log.end()

    def bind(self, text: str, *, insecure: bool) -> str:
        """Listen; return the endpoint really bound."""
        listener = open_listener(
            parse_endpoint(text), text, self.options, insecure=insecure
        )
        self._acceptors.append(Acceptor(self, listener))
        self.last_endpoint = listener.endpoint
        return listener.endpoint

    def unbind(self, endpoint: str) -> None:
        """Stop listening at an endpoint."""
        check_text(endpoint)
        for acceptor in self._acceptors:
            if acceptor.endpoint == endpoint:
                self._acceptors.remove(acceptor)
                acceptor.close()
                return
        msg = f"nothing is bound at {endpoint}"
        raise LocalProtocolError(msg)

    def connect(self, text: str) -> None:
        """Connect, now and whenever the connection is lost."""
        connector = Connector(self, parse_endpoint(text))
        self._connectors.append(connector)
        connector.start()

    def disconnect(self, endpoint: str) -> None:
        """End the connection to an endpoint."""
        check_text(endpoint)
        for connector in self._connectors:
            if str(connector.endpoint) == endpoint:
                self._connectors.remove(connector)
                connector.stop()
                if connector.link is not None:
                    connector.link.flush()
                    connector.link.close(None)
                return
        msg = f"nothing is connected at {endpoint}"
        raise LocalProtocolError(msg)

    @property
    def is_crowded(self) -> bool:
        """Whether no more connections may be accepted.

        Links that ended and still hold messages count: a peer that comes and goes must
        not pile up inboxes.
        """
        limit = self.options.max_peers + len(self._connectors)
        return len(self._links) >= limit

    def add_link(self, link: Link) -> None:
        """Start a link over a fresh connection."""
        self._links[link] = None
        link.start()

    def admit(self, link: Link) -> None:
        """Judge a peer that completed its handshake.

        Raises:
            RemoteProtocolError: Its routing id is in use.
        """
        if self._router is None or not link.peer_routing_id:
            return
        holder = self._router.holder(link.peer_routing_id)
        if holder is not None:
            # Its end may be known to the kernel and not yet to us.
            holder.sever_if_hung_up()
        if self._router.holder(link.peer_routing_id) is not None:
            self.counters.num_refused += 1
            msg = "routing id is in use"
            raise RemoteProtocolError(msg)

    def on_up(self, link: Link) -> None:
        """Let a peer take part."""
        self.counters.num_connected += 1
        if link.connector is not None:
            link.connector.succeeded()
        self.distributor.add(link)
        self.report("connected", link.endpoint, link.routing_id)

    def deliver(self, link: Link, message: list[bytes]) -> bool:
        """Tell whether a message that was parsed is to be kept."""
        if self.state is not State.OPEN or self.options.kind == PUSH:
            return False
        self.counters.num_messages_received += 1
        self.counters.num_bytes_received += sum(map(len, message))
        self.collector.add(link)
        return True

    def on_written(self, link: Link, done: Written) -> None:
        """Count messages that were sent, and use the room."""
        self.counters.num_messages_sent += done.num_messages
        self.counters.num_bytes_sent += done.nbytes
        self.distributor.relieve(link)
        self.finish_if_done()

    def on_lost(self, link: Link) -> None:
        """Take a peer out that can be sent nothing any more."""
        if link in self.distributor.up:
            self.counters.num_disconnected += 1
            for message in self.distributor.remove(link):
                self._lose(message)

    def on_down(self, link: Link, error: BusductError | None) -> None:
        """Forget a link, unless messages of it are still to be taken."""
        if not link.is_up:
            self.counters.num_handshakes_failed += 1
        if error is not None:
            self.counters.num_protocol_errors += isinstance(error, ProtocolError)
            self.note(error)
        self.on_lost(link)
        if not link.inbox or self.state is not State.OPEN:
            self._links.pop(link, None)
        self._report_down(link, error)
        if link.connector is not None:
            link.connector.put_off()
        self.finish_if_done()

    def _report_down(self, link: Link, error: BusductError | None) -> None:
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
        self._faults.append(error)

    def take(self) -> list[bytes] | None:
        """Take the next message; a ROUTER puts the routing id first."""
        taken = self.collector.take()
        if taken is None:
            return None
        link, message = taken
        if not link.is_open and not link.inbox:
            self._links.pop(link, None)
        return [link.routing_id, *message] if self._router else message

    def close(self, linger: float | None) -> None:
        """Stop receiving and listening; go on sending for a while. Idempotent."""
        if self.state is not State.OPEN:
            return
        self.state = State.LINGERING
        while self._acceptors:
            self._acceptors.pop(0).close()
        self._log.end()
        self.collector.clear()
        for link in list(self._links):
            link.discard_inbox()
            if not link.is_open:
                self._links.pop(link, None)
        self._wake_everybody()
        self.reactor.flush()
        if linger == 0:
            self.give_up()
        else:
            if linger is not None:
                self._linger_timer = self.reactor.call_later(linger, self.give_up)
            self.finish_if_done()

    def _wake_everybody(self) -> None:
        self.collector.waiters.wake_all()
        self.distributor.room.wake_all()
        for link in self.distributor.up:
            link.room.wake_all()

    def finish_if_done(self) -> None:
        """End a lingering socket once all is written, or nobody can take the rest."""
        if self.state is not State.LINGERING or self._is_finishing:
            return
        if self.distributor.backlog and (self._connectors or self._links):
            return
        if any(not link.is_flushed for link in self.distributor.up):
            return
        self._stop_connectors()
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

    def _stop_connectors(self) -> None:
        while self._connectors:
            self._connectors.pop().stop()

    def _end(self) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        for message in self.distributor.take_all():
            self._lose(message)
        self._stop_connectors()
        for link in list(self._links):
            link.close(None)
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self.ended.wake_all()

    def _lose(self, message: list[bytes]) -> None:
        self.counters.num_undelivered += 1
        cost = message_cost(message)
        lost = self._undelivered
        if self.options.marks.admit(len(lost), lost.cost, cost):
            lost.push(message, cost)

    def take_undelivered(self) -> list[list[bytes]]:
        """Take the messages that are known to be lost."""
        return self._undelivered.take_all()

    def recent_errors(self) -> list[BusductError]:
        """Return what peers did wrong, oldest first."""
        return list(self._faults)

    def statistics(self) -> SocketStatistics:
        """Return the counters, and the queues as they stand."""
        outboxes = [link.outbox for link in self.distributor.up]
        outboxes.append(self.distributor.backlog)
        return SocketStatistics(
            num_peers=len(self.distributor.up),
            num_send_queued=sum(map(len, outboxes)),
            num_send_queued_bytes=sum(outbox.cost for outbox in outboxes),
            num_recv_queued=sum(len(link.inbox) for link in self._links),
            num_recv_queued_bytes=sum(link.inbox_cost for link in self._links),
            num_subscriptions=0,
            **asdict(self.counters),
        )
