"""What a socket counts."""

from dataclasses import dataclass

__all__ = ["Counters"]


@dataclass(slots=True)
class Counters:
    """Counters since a socket was opened, as `SocketStatistics` names them."""

    num_messages_sent: int = 0
    num_bytes_sent: int = 0
    num_messages_received: int = 0
    num_bytes_received: int = 0
    num_accepted: int = 0
    num_connected: int = 0
    num_disconnected: int = 0
    num_retries: int = 0
    num_handshakes_failed: int = 0
    num_protocol_errors: int = 0
    num_refused: int = 0
    num_undelivered: int = 0
    num_dropped: int = 0
