"""What a consumer says to those who say what they are."""

from busduct.errors import RemoteProtocolError
from busduct.fmq._options import QueueOptions
from busduct.fmq._wire import ID_BYTES, VERSION, Hello, Welcome, encode_control

__all__ = ["Greeter"]

# Of a name that a peer says, in what it is told.
MAX_QUOTED = 80


class Greeter:
    """Welcomes the producers of one queue.

    Args:
        name: Of the queue.
        consumer_id: What the consumer is to them.
        options: Of the queue.
    """

    def __init__(self, name: str, consumer_id: bytes, options: QueueOptions) -> None:
        self._name = name
        welcome = Welcome(
            VERSION,
            consumer_id,
            options.prefetch_messages,
            options.prefetch_bytes,
            options.max_message_bytes,
        )
        self._welcome = encode_control(welcome)

    def answer(self, hello: Hello) -> bytes:
        """Return what a producer is to be told.

        Raises:
            RemoteProtocolError: It is none of this queue's, or not as this one speaks.
        """
        if hello.version != VERSION:
            msg = f"version {hello.version} of the queue protocol; this is {VERSION}"
            raise RemoteProtocolError(msg)
        if hello.queue != self._name:
            wanted = hello.queue[:MAX_QUOTED]
            msg = f"wants queue {wanted!r}; this is {self._name!r}"
            raise RemoteProtocolError(msg)
        if len(hello.producer_id) != ID_BYTES:
            msg = f"producer id of {len(hello.producer_id)} bytes, not {ID_BYTES}"
            raise RemoteProtocolError(msg)
        return self._welcome
