"""A message of a queue or topic, as its receiver gets it."""

import time
from typing import Any, ClassVar, Protocol

import msgspec

from busduct.errors import LocalProtocolError
from busduct.fmq._descriptor import Descriptor

__all__ = ["Message"]


class _Receipt(Protocol):
    @property
    def is_manual(self) -> bool: ...

    def settle(self) -> None: ...

    def give_back(self) -> None: ...


class Message(msgspec.Struct, eq=False):
    """What was put, and what is known of it.

    Attributes:
        payload: What was put. Buffers and arrays in it may be views of shared memory,
            valid for as long as they are held.
        msg_id: Its number at its producer, which counts from 0; None for one that was
            made by hand.
        timestamp: When it was put, as its producer's clock had it, in seconds since the
            epoch.
        descriptor: None for a message below the `shm_threshold` of its `put`. Of others
            that were received, one that was read already and names nothing.
        producer_id: Of the producer, in hexadecimal.
        num_deliveries: How often it has been given to a consumer, this time included.
            More than 1 says that an earlier one went away, or gave it back, before it
            had acknowledged it, and may have worked on it.
    """

    payload: Any = None
    msg_id: int | None = None
    timestamp: float = msgspec.field(default_factory=time.time)
    descriptor: Descriptor | None = None
    producer_id: str | None = None
    num_deliveries: int = 1
    _receipt: _Receipt | None = None
    # What can be changed has no hash.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    def ack(self) -> None:
        """Say that it is done with, so that no other consumer gets it. From any thread.

        Of a queue whose mode is automatic, and of a message that was acknowledged or
        given back before, it does nothing. If the producer is not connected any more,
        or the queue is closed here, the message may be delivered again all the same.
        """
        receipt = self._receipt
        if receipt is not None and receipt.is_manual:
            receipt.settle()

    def nack(self) -> None:
        """Give it back, to be delivered again soon, here or elsewhere. As `ack`.

        Raises:
            LocalProtocolError: It is nobody's to give back: it did not come from a
                queue whose mode is manual.
        """
        receipt = self._receipt
        if receipt is None or not receipt.is_manual:
            msg = 'only messages of a queue with ack="manual" can be given back'
            raise LocalProtocolError(msg)
        receipt.give_back()

    def serialize(self) -> bytes:
        """Encode payload, msg_id, timestamp and descriptor as msgpack.

        Raises:
            TypeError: The payload is nothing that msgpack knows.
        """
        return _encoder.encode(
            _Serialized(self.payload, self.msg_id, self.timestamp, self.descriptor)
        )

    @staticmethod
    def deserialize(data: "bytes | bytearray | memoryview") -> "Message":
        """Decode what `serialize` gave.

        Raises:
            msgspec.DecodeError: It is something else.
        """
        read = _decoder.decode(data)
        return Message(read.payload, read.msg_id, read.timestamp, read.descriptor)

    def _acknowledge(self) -> None:
        """Say that it is done with, whatever the mode. From any thread."""
        if self._receipt is not None:
            self._receipt.settle()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return (
            self.msg_id == other.msg_id
            and self.timestamp == other.timestamp
            and self.descriptor == other.descriptor
            and bool(self.payload == other.payload)
        )

    def __repr__(self) -> str:
        return (
            f"Message(payload={self.payload!r}, msg_id={self.msg_id}, "
            f"timestamp={self.timestamp}, descriptor={self.descriptor!r})"
        )


class _Serialized(msgspec.Struct, frozen=True, array_like=True):
    payload: Any
    msg_id: int | None
    timestamp: float
    descriptor: Descriptor | None


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Serialized)
