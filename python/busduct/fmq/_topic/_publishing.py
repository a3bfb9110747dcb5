"""Publish under keys, and be found by those who follow the topic."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.codec import MessageCodec
from busduct.errors import AddressInUseError, ClosedError
from busduct.fmq._directory import Registration
from busduct.fmq._hub import Hub
from busduct.fmq._topic._options import TopicOptions
from busduct.fmq._topic._packing import PACKING_BYTES
from busduct.fmq._topic._publisher_id import new_publisher_id
from busduct.statistics import PublisherStatistics
from busduct.transport._publisher import MessagePublisher

if TYPE_CHECKING:
    from busduct._core import Context, Loan

__all__ = ["Publishing"]

_backend = load_backend()

# Of two ports that follow one another, the second may be somebody's.
MAX_PORT_ATTEMPTS = 32
# Those of one task before the others have their turn.
MAX_SENT_IN_TURN = 256
MAX_BYTES_SENT_IN_TURN = 1 << 20
# A length on the wire has 32 bits.
MAX_PAYLOAD_BYTES = (1 << 32) - 1


class Publishing:
    """One publisher of a topic, registered in its directory.

    Args:
        hub: Owns the sockets.
        name: Of the topic.
        options: Of the topic.

    Raises:
        AddressInUseError: No two free ports were found.
        AuthError: An address beyond this machine, no key, and not `insecure`.
        ClosedError: The context is closed.
        ConfigError: Not an endpoint.
        OSError: What else the system refuses.
    """

    def __init__(self, hub: Hub, name: str, options: TopicOptions) -> None:
        publisher_id = new_publisher_id()
        self.producer_id = publisher_id.hex()
        self._linger = options.linger
        self._num_in_turn = self._nbytes_in_turn = 0
        self._publisher = _bind(hub, name, options)
        try:
            self._registration = Registration(
                hub.context,
                hub.address_of(name),
                name,
                publisher_id,
                self._publisher.bind_address,
                insecure=options.insecure,
            )
        except BaseException:
            self._publisher.close()
            raise

    def loan(self, nbytes: int) -> "Loan":
        """Lend memory to encode into."""
        return self._publisher.loan(nbytes)

    async def wait_subscribers(self, count: int, topic: bytes) -> None:
        """Wait until so many get what is published of a topic. Cancelling is safe.

        Raises:
            ClosedError: This side is closed.
        """
        await self._publisher.wait_subscribers(count, topic)

    async def give_way(self, nbytes: int) -> None:
        """Let what was published be sent, if it is much. Cancelling is safe."""
        self._num_in_turn += 1
        self._nbytes_in_turn += nbytes
        if (
            self._num_in_turn > MAX_SENT_IN_TURN
            or self._nbytes_in_turn > MAX_BYTES_SENT_IN_TURN
        ):
            self._num_in_turn = self._nbytes_in_turn = 0
            await asyncio.sleep(0)

    def send(self, topic: bytes, payload: bytes) -> None:
        """Accept a message.

        Raises:
            ClosedError: This side is closed.
            FrameTooLargeError: Over the limit of the topic.
            FullError: Of one key too many.
        """
        self._publisher.send(topic, payload)

    def statistics(self) -> PublisherStatistics:
        """Return the counters and what is held."""
        return self._publisher.statistics()

    def recent_errors(self) -> list[Exception]:
        """Return what subscribers and the directory did wrong, the last 16 of each."""
        return [*self._registration.recent_errors(), *self._publisher.recent_errors()]

    def abandon(self) -> None:
        """Close at once; what is accepted is sent in the background. Idempotent."""
        self._publisher.close()
        self._registration.close()

    async def close(self) -> None:
        """Give subscribers what they are to have, within linger. Idempotent.

        Cancelled, it can be called again.
        """
        self._registration.close()
        with suppress(ClosedError):
            await self._publisher.drain(self._linger)
        await self._publisher.aclose()


def _bind(hub: Hub, name: str, options: TopicOptions) -> MessagePublisher[bytes]:
    for attempt in range(MAX_PORT_ATTEMPTS):
        endpoint = _with_port(hub.context, hub.data_endpoint(name), options)
        try:
            return _open(hub, endpoint, options)
        except AddressInUseError:
            if attempt == MAX_PORT_ATTEMPTS - 1 or not endpoint.startswith("tcp:"):
                raise
    raise AssertionError


def _with_port(context: "Context", endpoint: str, options: TopicOptions) -> str:
    """Return the endpoint with a port that is free, where any will do."""
    if not endpoint.startswith("tcp://") or not endpoint.endswith(":0"):
        return endpoint
    socket = context.socket(_backend.PUB, linger=0.0)
    try:
        return socket.bind(endpoint, insecure=options.insecure)
    finally:
        socket.close()


def _open(hub: Hub, endpoint: str, options: TopicOptions) -> MessagePublisher[bytes]:
    limit = min(options.max_message_bytes + PACKING_BYTES, MAX_PAYLOAD_BYTES)
    return MessagePublisher(
        MessageCodec(bytes),
        endpoint,
        hub.context,
        hub.loop,
        replay_messages=options.replay_messages,
        replay_bytes=options.replay_bytes,
        max_topics=options.max_keys,
        max_message_bytes=limit,
        hwm_messages=options.hwm_messages,
        hwm_bytes=options.hwm_bytes,
        on_full=options.on_full,
        linger=options.linger,
        insecure=options.insecure,
        send_buffer_bytes=options.send_buffer_bytes,
        recv_buffer_bytes=options.recv_buffer_bytes,
    )
