"""What a pool of connections keeps to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What a pool keeps to.

    Attributes:
        max_connections: Open at a time, with those that are being opened.
        max_concurrent_connects: Being opened at a time.
        max_idle_time: Seconds after which an idle connection is closed; also, how long
            the end of a response may take that said that it is over.
        max_retries: Rounds of connecting that may fail, one more than these, before
            what waits fails.
        max_header_bytes: Of the head of a response.
        max_body_bytes: Of the body of a response.
    """

    max_connections: int
    max_concurrent_connects: int
    max_idle_time: float
    max_retries: int
    max_header_bytes: int
    max_body_bytes: int
