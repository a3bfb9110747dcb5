"""Frozen snapshots of what an object has done and holds."""

from dataclasses import dataclass

__all__ = ["SocketStatistics"]


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
