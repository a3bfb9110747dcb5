"""What a queue does at its limits, as its configuration and its caller say."""

from typing import Literal, TypeAlias

import msgspec

__all__ = ["AckMode", "OnFull", "QueueOptions"]

AckMode: TypeAlias = Literal["auto", "manual"]
OnFull: TypeAlias = Literal["wait", "error", "drop_new", "drop_old"]


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one queue object.

    Attributes:
        hwm_messages: Messages that a producer holds until they are acknowledged.
        hwm_bytes: Bytes of those; a larger message is taken by a producer that holds
            none.
        on_full: What `put` does beyond either.
        ack: Whether `get` acknowledges a message, or its `ack` does.
        prefetch_messages: Messages that a consumer is sent ahead of its
            acknowledgements, by each producer.
        prefetch_bytes: Bytes after which no further one is sent ahead.
        linger: Seconds that close goes on handing over; None for no bound.
        max_message_bytes: Payload bytes of one message.
        copy: Buffers and arrays arrive in memory of their own, which can be written,
            rather than as views of what was received.
        immediate: `put` waits until there is a consumer.
        insecure: Of TCP: as of `Socket.bind`.
        send_buffer_bytes: Of the kernel, for each connection; 0 to let it choose.
        recv_buffer_bytes: As above.
    """

    hwm_messages: int = 10_000
    hwm_bytes: int = 256 << 20
    on_full: OnFull = "wait"
    ack: AckMode = "auto"
    prefetch_messages: int = 256
    prefetch_bytes: int = 8 << 20
    linger: float | None = 5.0
    max_message_bytes: int = 1 << 30
    copy: bool = False
    immediate: bool = False
    insecure: bool = False
    send_buffer_bytes: int = 0
    recv_buffer_bytes: int = 0
