"""The two halves of each kind of socket."""

from busduct._fallback._collector import Collector, Deaf, FairQueue, RoutingQueue
from busduct._fallback._counters import Counters
from busduct._fallback._distributor import Distributor, Mute
from busduct._fallback._kinds import (
    PAIR,
    PUB,
    PULL,
    PUSH,
    REP,
    REQ,
    ROUTER,
    SUB,
    XPUB,
    XSUB,
)
from busduct._fallback._options import SocketOptions
from busduct._fallback._publisher import Publisher
from busduct._fallback._reply import ReplySender, RequestQueue
from busduct._fallback._request import RequestSender
from busduct._fallback._round_robin import Pairing, RoundRobin
from busduct._fallback._router import Router
from busduct._fallback._subscriber import ForwardingSubscriber, Subscriber
from busduct._fallback._topic_queue import (
    FilteredQueue,
    NoticeQueue,
    SubscriptionListener,
)

__all__ = ["make_halves"]


def make_halves(
    options: SocketOptions, counters: Counters
) -> tuple[Distributor, Collector]:
    """Return how a socket of this kind sends, and how it receives."""
    match options.kind:
        case kind if kind in {PUB, XPUB}:
            publisher = Publisher(options, counters)
            listener = SubscriptionListener if kind == PUB else NoticeQueue
            return publisher, listener(options, counters, publisher)
        case kind if kind == SUB:
            subscriber = Subscriber(options, counters)
            wanted = subscriber.subscriptions
            return subscriber, FilteredQueue(options, counters, wanted)
        case kind if kind == REQ:
            requests = RequestSender(options, counters)
            return requests, requests.replies
        case kind if kind == REP:
            replies = ReplySender(options, counters)
            return replies, RequestQueue(options, counters, replies)
    return _DISTRIBUTORS.get(options.kind, RoundRobin)(options, counters), (
        _COLLECTORS.get(options.kind, FairQueue)(options, counters)
    )


_DISTRIBUTORS: dict[int, type[Distributor]] = {
    PULL: Mute,
    PAIR: Pairing,
    ROUTER: Router,
    XSUB: ForwardingSubscriber,
}
_COLLECTORS: dict[int, type[Collector]] = {PUSH: Deaf, ROUTER: RoutingQueue}
