"""Frozen snapshots of both ends of remote calls."""

from dataclasses import dataclass

__all__ = ["RpcClientStatistics", "RpcServerStatistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcServerStatistics:
    """Counters of one `RpcServer` since it was opened, and its calls as they stand.

    Attributes:
        num_running: Asynchronous calls that run.
        num_queued: Calls that wait for one of those to end.
        num_requests: Requests received.
        num_replies: Replies accepted by the socket, errors included.
        num_replies_dropped: Replies for clients that are gone, or that do not read.
        num_cancelled: Calls that their client cancelled, or left.
        num_overloaded: Requests refused because a limit was reached.
        num_internal_errors: Exceptions whose text was kept from the caller.
        num_malformed: Messages that are no request and no cancellation.
    """

    num_running: int
    num_queued: int
    num_requests: int
    num_replies: int
    num_replies_dropped: int
    num_cancelled: int
    num_overloaded: int
    num_internal_errors: int
    num_malformed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcClientStatistics:
    """Counters of one `RpcClient` since it was opened, and its calls as they stand.

    Attributes:
        num_pending: Calls that wait for a reply.
        num_calls: Calls made.
        num_timeouts: Calls that ended with `WaitTimeoutError`.
        num_cancels: Cancellations sent to the server.
        num_lost: Calls that ended with `PeerLostError`.
        num_unexpected: Replies to no call that is pending; most are late ones.
        num_malformed: Messages that are no reply.
    """

    num_pending: int
    num_calls: int
    num_timeouts: int
    num_cancels: int
    num_lost: int
    num_unexpected: int
    num_malformed: int
