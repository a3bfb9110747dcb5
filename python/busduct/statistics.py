"""Frozen snapshots of what an object has done and holds."""

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "BroadcastReaderStatistics",
    "BroadcastStatistics",
    "ContextStatistics",
    "DispatcherStatistics",
    "EndpointClientStatistics",
    "PeerStatistics",
    "PoolStatistics",
    "PublisherStatistics",
    "QueueConsumerStatistics",
    "QueueProducerStatistics",
    "RankStatistics",
    "SocketStatistics",
    "SubscriberStatistics",
    "WorkerStatistics",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextStatistics:
    """What a context has in shared memory, as it stands; all 0 where it cannot.

    Attributes:
        num_shm_peers: Connections whose messages go through shared memory.
        num_shm_refused: Connections that both sides could have moved there, and that
            stayed in the kernel because the system or `shm_max_bytes` refused memory.
        shm_ring_bytes: Of the rings that this side made.
        shm_arena_bytes: Of the segments that this side made for large payloads.
        num_shm_segments: Those segments.
        num_shm_slots_held: Pieces of them that somebody holds: loans, messages on their
            way, leases of peers.
    """

    num_shm_peers: int
    num_shm_refused: int
    shm_ring_bytes: int
    shm_arena_bytes: int
    num_shm_segments: int
    num_shm_slots_held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketStatistics:
    """Counters of one socket since it was opened, and its queues as they stand.

    A message counts as sent once its last byte was handed to the kernel, as received
    once its last frame was parsed.

    Attributes:
        num_peers: Links that completed their handshake and are up.
        num_messages_sent: Messages handed to the kernel.
        num_bytes_sent: Payload bytes of those.
        num_messages_received: Messages parsed.
        num_bytes_received: Payload bytes of those.
        num_send_queued: Messages accepted and not yet handed to the kernel.
        num_send_queued_bytes: Bytes of those, 96 per part included.
        num_recv_queued: Messages parsed and not yet taken.
        num_recv_queued_bytes: Bytes of those, 96 per part included.
        num_accepted: Connections accepted.
        num_connected: Handshakes completed.
        num_disconnected: Links that were up and ended.
        num_retries: Connection attempts that failed and were put off.
        num_handshakes_failed: Links that ended before their handshake did.
        num_protocol_errors: Links closed because the peer broke the protocol.
        num_refused: Peers turned away (uid, connection cap, routing id in use, a PAIR's
            second peer).
        num_undelivered: Accepted messages whose loss is known.
        num_dropped: Messages dropped because `on_full` says so, or because no peer has
            the routing id that they name.
        num_subscriptions: Topics that this SUB or XSUB subscribed to; at a PUB or XPUB,
            subscriptions that its peers hold.
    """

    num_peers: int
    num_messages_sent: int
    num_bytes_sent: int
    num_messages_received: int
    num_bytes_received: int
    num_send_queued: int
    num_send_queued_bytes: int
    num_recv_queued: int
    num_recv_queued_bytes: int
    num_accepted: int
    num_connected: int
    num_disconnected: int
    num_retries: int
    num_handshakes_failed: int
    num_protocol_errors: int
    num_refused: int
    num_undelivered: int
    num_dropped: int
    num_subscriptions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatistics:
    """One peer of a socket whose handshake is complete, and its queues as they stand.

    Attributes:
        endpoint: What it came through: bound or connected to.
        routing_id: As the peer announced it, or as a ROUTER calls it; b"" for none.
        num_send_queued: Messages accepted for it and not yet handed to the kernel.
        num_send_queued_bytes: Bytes of those, 96 per part included.
        num_recv_queued: Messages of it that were parsed and are not yet taken.
        num_recv_queued_bytes: Bytes of those, 96 per part included.
    """

    endpoint: str
    routing_id: bytes
    num_send_queued: int
    num_send_queued_bytes: int
    num_recv_queued: int
    num_recv_queued_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherStatistics:
    """Counters of one `MessagePublisher` since it was opened, and what it holds.

    Attributes:
        num_published: Messages accepted.
        num_batches: Batches that they went in.
        num_buffered: Messages that wait for others to be sent with.
        num_dropped: Batches and fences dropped for a subscriber that had no room; one
            counts once for each.
        num_peers: Subscribers connected, ready or not.
        num_topics: Topics that have had a message.
        num_held: Messages held to be asked for again.
        num_held_bytes: Bytes of those, and 96 for each.
        num_replay_requests: Requests for a fence, or for what was missed.
        num_replayed: Messages sent again.
        num_malformed: Requests that were none.
        num_refused: Requests put off because too many were under way.
    """

    num_published: int
    num_batches: int
    num_buffered: int
    num_dropped: int
    num_peers: int
    num_topics: int
    num_held: int
    num_held_bytes: int
    num_replay_requests: int
    num_replayed: int
    num_malformed: int
    num_refused: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriberStatistics:
    """Counters of one `MessageSubscriber` since it was opened, and what it holds.

    Attributes:
        num_received: Messages taken by the caller.
        num_malformed: Messages on the wire, or payloads in them, that did not parse.
        num_duplicates: Messages that came a second time and were passed over; a replay
            may bring what was on its way.
        num_gaps: Calls that `on_gap` had cause for.
        num_missing: Messages missing in those.
        num_restarts: Times that the publisher had begun another life.
        num_syncs: Requests to the replay endpoint that were answered in full.
        num_queued: Messages ready to be taken.
        num_queued_bytes: Bytes of those, and 96 for each.
        num_held: Messages that came before those that precede them.
        num_topics: Topics followed.
        is_ready: Whether what is published from here on will arrive.
    """

    num_received: int
    num_malformed: int
    num_duplicates: int
    num_gaps: int
    num_missing: int
    num_restarts: int
    num_syncs: int
    num_queued: int
    num_queued_bytes: int
    num_held: int
    num_topics: int
    is_ready: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RankStatistics:
    """One reader of a `BroadcastQueue`, as its writer sees it.

    Attributes:
        rank: Which.
        state: ``missing``: it has not joined. ``joined``: it takes items. ``lost``: it
            had joined, and is gone.
        num_queued: Items accepted for it that wait at the writer.
        num_queued_bytes: Bytes of those, and 96 for each.
        is_full: It is this reader that the writer waits for, or would wait for.
    """

    rank: int
    state: Literal["missing", "joined", "lost"]
    num_queued: int
    num_queued_bytes: int
    is_full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastStatistics:
    """Counters of one `BroadcastQueue` since it was opened, and how it stands.

    Attributes:
        num_sent: Items accepted.
        num_undelivered: Items accepted that a lost reader did not get; one counts once
            for each.
        num_refused: Readers that were turned away.
        num_strangers: Peers that are connected and are no readers.
        is_ready: All readers have joined, whoever is lost since.
        waiting_seconds: How long the first of those that wait to send, or for readers
            to join, has waited; 0 if none does.
        ranks: Each reader, by rank.
    """

    num_sent: int
    num_undelivered: int
    num_refused: int
    num_strangers: int
    is_ready: bool
    waiting_seconds: float
    ranks: tuple[RankStatistics, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BroadcastReaderStatistics:
    """Counters of one `BroadcastReader` since it was opened, and how it stands.

    Attributes:
        rank: As the writer calls it; None before it has joined, if it did not choose.
        is_joined: The writer counts it among its readers.
        num_received: Items taken by the caller.
        num_malformed: Items that did not decode, and messages that no writer sends.
        num_queued: Items that have come and wait to be taken.
        num_queued_bytes: Bytes of those, and 96 for each.
        waiting_seconds: How long the first of those that wait for an item has waited; 0
            if none does.
    """

    rank: int | None
    is_joined: bool
    num_received: int
    num_malformed: int
    num_queued: int
    num_queued_bytes: int
    waiting_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """Counters of one pool of workers since it was created, and its queues.

    Attributes:
        num_workers: How many it was created for.
        num_ready: Those that are ready.
        num_connected: Those whose responses can come.
        num_renewed: Times that `renew_worker` was called.
        num_sent: Queries, and ids of queries to give up, that went to workers.
        num_received: Responses that came from workers, malformed ones included.
        num_queued: For each worker, what was accepted for it and has not gone.
        num_queued_bytes: Bytes of those, 96 for each included.
        num_recv_queued: Responses that have come and wait to be taken.
        num_dropped_queries: Accepted for workers that were renewed before they took
            them, ids included.
        num_dropped_cancels: Ids of queries to give up that a full queue refused.
        num_malformed: Responses that did not decode, and were dropped.
        num_duplicate_ready: Times that a worker said again that it is ready.
        num_unknown_ready: Times that a worker said so that there is none of.
        num_stale_ready: Times that a worker said so whose place another has taken.
        num_malformed_ready: Messages there that say something else.
    """

    num_workers: int
    num_ready: int
    num_connected: int
    num_renewed: int
    num_sent: int
    num_received: int
    num_queued: tuple[int, ...]
    num_queued_bytes: tuple[int, ...]
    num_recv_queued: int
    num_dropped_queries: int
    num_dropped_cancels: int
    num_malformed: int
    num_duplicate_ready: int
    num_unknown_ready: int
    num_stale_ready: int
    num_malformed_ready: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherStatistics:
    """Counters of one `Dispatcher` since it was made, and how its queries stand.

    Attributes:
        num_submitted: Queries accepted.
        num_in_flight: Those that have not ended.
        num_held: Those that wait for a worker.
        num_untaken: Results and chunks that wait to be taken.
        num_resent: Queries sent again because a worker died before it started them; one
            counts once for each time.
        num_late: Responses to queries that had ended, or that are unknown; dropped.
        num_errors: Queries that ended without their worker's result, by the type of the
            error.
        ready_workers: Those that get queries.
    """

    num_submitted: int
    num_in_flight: int
    num_held: int
    num_untaken: int
    num_resent: int
    num_late: int
    num_errors: dict[str, int]
    ready_workers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatistics:
    """One worker process of an `HTTPEndpointClient`.

    Attributes:
        worker_id: Which.
        pid: Of its process, as of the last restart; None before the first start.
        is_ready: Whether it gets queries.
        num_restarts: How often it died and was started again.
        num_results: Queries that it ended, with an answer or with an error.
    """

    worker_id: int
    pid: int | None
    is_ready: bool
    num_restarts: int
    num_results: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointClientStatistics:
    """Counters of one `HTTPEndpointClient` since it was made, and how it stands.

    Attributes:
        num_issued: Queries accepted, by whichever call.
        num_completed: Those that ended with an answer.
        num_failed: Those that ended with an error.
        failures: How many of those, by the type of the error.
        num_in_flight: Those that did not end yet.
        num_untaken: Results and chunks that wait to be taken.
        num_dropped: Queries issued after the client was shut down, and so to nobody.
        num_resent: Queries that another worker got because one died before it started
            them; one counts once for each time.
        num_late: Responses of workers to queries that had ended.
        num_restarts: Of all workers together.
        workers: Each of them, by its id.
    """

    num_issued: int
    num_completed: int
    num_failed: int
    failures: dict[str, int]
    num_in_flight: int
    num_untaken: int
    num_dropped: int
    num_resent: int
    num_late: int
    num_restarts: int
    workers: tuple[WorkerStatistics, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueConsumerStatistics:
    """Counters of one consumer of a queue since it was opened, and what it holds.

    Attributes:
        num_got: Messages handed to the caller.
        num_acknowledged: Messages done with: those that the caller acknowledged, or
            that were when it got them, and those that did not decode.
        num_unacknowledged: Messages that the caller got and is not done with.
        num_returned: Messages that the caller gave back.
        num_prefetched: Messages that have come and wait to be taken.
        prefetched_nbytes: Payload bytes of those.
        num_gaps: Messages that producers dropped, as they say themselves.
        num_redelivered: Messages taken that had been sent to a consumer before.
        num_superseded: Messages dropped because they came a second time before they
            were taken.
        num_malformed: Messages dropped because a producer broke the protocol.
        num_undecodable: Messages whose payload did not decode, and that were skipped.
        num_producers: Connections of producers that are up.
        num_waiting: Calls that wait for a message.
    """

    num_got: int
    num_acknowledged: int
    num_unacknowledged: int
    num_returned: int
    num_prefetched: int
    prefetched_nbytes: int
    num_gaps: int
    num_redelivered: int
    num_superseded: int
    num_malformed: int
    num_undecodable: int
    num_producers: int
    num_waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueProducerStatistics:
    """Counters of one producer of a queue since its first loop, and what it holds.

    Attributes:
        num_put: Messages accepted, those included that were dropped.
        num_acknowledged: Messages that consumers are done with.
        num_pending: Messages that no consumer was sent.
        pending_nbytes: Payload bytes of those.
        num_unacknowledged: Messages that a consumer was sent and is not done with.
        num_adopted: Messages that consumers had and were not done with as this producer
            ended, and that are theirs since.
        num_dropped: Messages dropped because `on_full` says so, or that cannot be sent.
        num_redelivered: Times that a message was sent again, after its consumer was
            lost or gave it back.
        num_consumers: Consumers that messages are sent to.
        num_faults: Times that a consumer broke the protocol, or never answered.
        num_waiting: Calls that wait for room.
        num_unwanted: Messages that wait because they are over the `max_message_bytes`
            of every consumer there is.
    """

    num_put: int
    num_acknowledged: int
    num_pending: int
    pending_nbytes: int
    num_unacknowledged: int
    num_adopted: int
    num_dropped: int
    num_redelivered: int
    num_consumers: int
    num_faults: int
    num_waiting: int
    num_unwanted: int
