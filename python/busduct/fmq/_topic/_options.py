"""What a topic does at its limits."""

from typing import Any, Literal, Self

import msgspec

from busduct.fmq._options import QueueOptions

__all__ = ["TopicOptions"]


class TopicOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one topic object.

    Attributes:
        hwm_messages: At a publisher, batches queued for each subscriber; at a
            subscriber, messages of each publisher: not taken, or held behind a gap.
        hwm_bytes: Bytes of those.
        on_full: Which of a slow subscriber's batches a publisher drops. It gets them
            by replay when it reads again, as far as they are held.
        replay_messages: Messages that a publisher holds for those who missed them.
        replay_bytes: Bytes of those.
        replay_timeout: Seconds without an answer of its publisher after which a
            subscriber gives up what is missing.
        max_keys: Keys of one publisher.
        linger: Seconds that close goes on sending; None for no bound.
        max_message_bytes: Payload bytes of one message.
        copy: Buffers and arrays arrive in memory of their own, which can be written.
        insecure: Of TCP: as of `Socket.bind`.
        send_buffer_bytes: Of the kernel, for each connection; 0 to let it choose.
        recv_buffer_bytes: As above.
    """

    hwm_messages: int = 1000
    hwm_bytes: int = 64 << 20
    on_full: Literal["drop_new", "drop_old"] = "drop_new"
    replay_messages: int = 1024
    replay_bytes: int = 64 << 20
    replay_timeout: float = 10.0
    max_keys: int = 4096
    linger: float | None = 5.0
    max_message_bytes: int = 1 << 30
    copy: bool = False
    insecure: bool = False
    send_buffer_bytes: int = 0
    recv_buffer_bytes: int = 0

    @classmethod
    def of(cls, options: QueueOptions, **overrides: Any) -> Self:
        """Take from the settings of a queue what a topic has, too.

        The marks are a topic's own: those of a queue are of all its consumers together.

        Args:
            options: Of a queue.
            **overrides: Settings of a topic.

        Raises:
            TypeError: A setting that a topic does not have.
        """
        return cls(
            **{
                "linger": options.linger,
                "max_message_bytes": options.max_message_bytes,
                "copy": options.copy,
                "insecure": options.insecure,
                "send_buffer_bytes": options.send_buffer_bytes,
                "recv_buffer_bytes": options.recv_buffer_bytes,
                **overrides,
            }
        )
