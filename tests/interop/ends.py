"""Sockets of either library behind one small face, and what each pair of kinds does."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

import zmq
from tests.interop.libzmq import Foreign, Parts, bind
from tests.transport.waiting import eventually

from busduct.errors import BusductError, FullError, PeerLostError
from busduct.statistics import SocketStatistics

MESSAGES: list[Parts] = [[b"one"], [b"two", b"", b"three"]]
TOPIC = b"topic"
# Nobody comes back: each error is counted once.
OPTIONS = {"linger": 0.0, "reconnect_interval": 60.0, "reconnect_max": 60.0}

Exchange = Callable[["End", "End"], Awaitable[None]]


class End:
    """A socket of ours: it gives and takes without waiting."""

    def __init__(self, sock: Any, kind: str) -> None:
        self._sock = sock
        self.kind = kind

    def statistics(self) -> SocketStatistics:
        """Return the counters."""
        statistics: SocketStatistics = self._sock.statistics()
        return statistics

    def recent_errors(self) -> list[BusductError]:
        """Return what peers did wrong."""
        errors: list[BusductError] = self._sock.recent_errors()
        return errors

    def bind(self, address: str) -> str:
        """Listen; return the endpoint really bound."""
        return str(self._sock.bind(address))

    def connect(self, endpoint: str) -> None:
        """Connect."""
        self._sock.connect(endpoint)

    def subscribe(self) -> None:
        """Ask for the topic, in the way of the kind."""
        if self.kind == "SUB":
            self._sock.subscribe(TOPIC)
        else:
            self.give([b"\x01" + TOPIC])

    def give(self, parts: Parts) -> bool:
        """Send if that can be done at once."""
        with suppress(FullError, PeerLostError):
            self._sock.send_multipart_nowait(parts)
            return True
        return False

    def take(self) -> Parts | None:
        """Receive what is there."""
        parts: Parts | None = self._sock.recv_multipart_nowait()
        return parts


class ForeignEnd(End):
    """A socket of libzmq."""

    def bind(self, address: str) -> str:
        """Listen; return the endpoint really bound."""
        return bind(self._sock, address)

    def give(self, parts: Parts) -> bool:
        """Send if that can be done at once."""
        with suppress(zmq.Again, zmq.error.ZMQError):
            self._sock.send_multipart(parts, zmq.NOBLOCK)
            return True
        return False

    def take(self) -> Parts | None:
        """Receive what is there."""
        with suppress(zmq.Again):
            parts: Parts = self._sock.recv_multipart(zmq.NOBLOCK)
            return parts
        return None


def our_end(backend: ModuleType, ctx: Any, kind: str, routing_id: bytes) -> End:
    """Open a socket of a context of ours."""
    sock = ctx.socket(getattr(backend, kind), routing_id=routing_id, **OPTIONS)
    return End(sock, kind)


def foreign_end(foreign: Foreign, kind: str, routing_id: bytes) -> End:
    """Open a socket of libzmq that tells of peers it does not know."""
    sock = foreign.socket(getattr(zmq, kind), RECONNECT_IVL=-1)
    if kind == "ROUTER":
        sock.set(zmq.ROUTER_MANDATORY, 1)
    if routing_id:
        sock.set(zmq.ROUTING_ID, routing_id)
    return ForeignEnd(sock, kind)


async def hand(giver: End, taker: End, parts: Parts, expected: Parts) -> None:
    """Give a message as soon as that is possible; it must come as expected."""
    await eventually(lambda: giver.give(parts))
    assert await eventually(taker.take) == expected


async def push(first: End, second: End) -> None:
    """From the first to the second."""
    for parts in MESSAGES:
        await hand(first, second, parts, parts)


async def talk(first: End, second: End) -> None:
    """Both ways, in no order."""
    await push(first, second)
    await push(second, first)


async def ask(req: End, rep: End) -> None:
    """A request and its reply, envelopes unseen."""
    for parts in MESSAGES:
        await hand(req, rep, parts, parts)
        await hand(rep, req, parts[::-1], parts[::-1])


async def ask_router(req: End, router: End) -> None:
    """A request and its reply; one side sees the envelope, which goes back as it is."""
    for parts in MESSAGES:
        await eventually(partial(req.give, parts))
        routing_id, *rest = await eventually(router.take)
        assert rest == [b"", *parts]
        await hand(router, req, [routing_id, b"", *parts], parts)


async def ask_as_dealer(dealer: End, rep: End) -> None:
    """A request with an envelope made by hand."""
    for parts in MESSAGES:
        await hand(dealer, rep, [b"", *parts], parts)
        await hand(rep, dealer, parts, [b"", *parts])


async def route(dealer: End, router: End) -> None:
    """There, and back to who sent it."""
    for parts in MESSAGES:
        await eventually(partial(dealer.give, parts))
        routing_id, *rest = await eventually(router.take)
        assert rest == parts
        await hand(router, dealer, [routing_id, *parts], parts)


async def route_by_name(first: End, second: End) -> None:
    """Both ways between peers that know each other's names."""
    for parts in MESSAGES:
        await hand(first, second, [b"second", *parts], [b"first", *parts])
        await hand(second, first, [b"first", *parts], [b"second", *parts])


async def publish(pub: End, sub: End) -> None:
    """Publish until it comes, for the subscription is on its way; then, once more."""
    sub.subscribe()
    number, taken = 0, None

    def has_come() -> bool:
        nonlocal number, taken
        number += 1
        pub.give([TOPIC, b"%d" % number])
        taken = sub.take()
        return taken is not None

    await eventually(has_come)
    while taken != [TOPIC, b"%d" % number]:
        taken = await eventually(sub.take)
    assert pub.give([b"another topic"])
    for parts in ([TOPIC], [TOPIC + b".more", b"", b"last"]):
        await hand(pub, sub, parts, parts)


async def publish_and_answer(xpub: End, xsub: End) -> None:
    """Publish, and send a message to who publishes."""
    await publish(xpub, xsub)
    assert xsub.give([b"upstream"])
    taken = await eventually(xpub.take)
    while taken == [b"\x01" + TOPIC]:
        taken = await eventually(xpub.take)
    assert taken == [b"upstream"]


EXCHANGES: dict[tuple[str, str], Exchange] = {
    ("PAIR", "PAIR"): talk,
    ("PUSH", "PULL"): push,
    ("DEALER", "DEALER"): talk,
    ("DEALER", "ROUTER"): route,
    ("ROUTER", "ROUTER"): route_by_name,
    ("REQ", "REP"): ask,
    ("REQ", "ROUTER"): ask_router,
    ("DEALER", "REP"): ask_as_dealer,
    ("PUB", "SUB"): publish,
    ("PUB", "XSUB"): publish,
    ("XPUB", "SUB"): publish,
    ("XPUB", "XSUB"): publish_and_answer,
}


async def exchange(ours: End, theirs: End) -> None:
    """Do what the two kinds are for, in every direction."""
    if (ours.kind, theirs.kind) in EXCHANGES:
        await EXCHANGES[ours.kind, theirs.kind](ours, theirs)
    else:
        await EXCHANGES[theirs.kind, ours.kind](theirs, ours)
