"""The counters of a pool, gathered from its parts."""

from busduct.statistics import PoolStatistics, SocketStatistics
from busduct.transport.pool._readiness import WorkerReadiness
from busduct.transport.pool._requests import RequestSockets

__all__ = ["new_statistics"]


def new_statistics(
    requests: RequestSockets,
    readiness: WorkerReadiness,
    responses: SocketStatistics,
    *,
    num_taken: int,
    **counts: int,
) -> PoolStatistics:
    """Return the statistics of a pool.

    Args:
        requests: Its sockets for requests.
        readiness: What workers have said.
        responses: Of its socket for responses.
        num_taken: Responses taken from that one, and not yet by the caller.
        **counts: Those that it keeps itself.
    """
    queues = requests.statistics()
    return PoolStatistics(
        num_workers=len(queues),
        num_ready=len(readiness.ready),
        num_sent=requests.num_sent(),
        num_received=responses.num_messages_received,
        num_queued=tuple(each.num_send_queued for each in queues),
        num_queued_bytes=tuple(each.num_send_queued_bytes for each in queues),
        num_recv_queued=responses.num_recv_queued + num_taken,
        num_dropped_queries=requests.num_dropped,
        num_duplicate_ready=readiness.num_duplicates,
        num_unknown_ready=readiness.num_unknown,
        num_stale_ready=readiness.num_stale,
        num_malformed_ready=readiness.num_malformed,
        **counts,
    )
