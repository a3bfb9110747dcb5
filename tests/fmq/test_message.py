"""A message by itself."""

import time

import msgspec
import pytest

from busduct.errors import LocalProtocolError
from busduct.fmq._descriptor import Descriptor
from busduct.fmq._message import Message


def test_a_message_knows_when_it_was_made() -> None:
    before = time.time()
    message = Message("x")
    assert before <= message.timestamp <= time.time()
    assert (message.msg_id, message.descriptor) == (None, None)


def test_a_message_survives_being_serialized() -> None:
    message = Message({"k": [1, "v", b"b"]}, 5, 2.5)
    again = Message.deserialize(message.serialize())
    assert again == message
    assert again.descriptor is None
    assert again != Message({"k": [1, "v", b"b"]}, 6, 2.5)
    assert again != "something else"


def test_a_descriptor_goes_with_it() -> None:
    descriptor = Descriptor.create(b"elsewhere")
    again = Message.deserialize(Message(None, descriptor=descriptor).serialize())
    assert again.descriptor is not None
    assert again.descriptor.read_and_unlink() == b"elsewhere"


def test_what_is_something_else_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        Message.deserialize(b"\x01")


def test_what_is_not_msgpack_cannot_be_serialized() -> None:
    with pytest.raises(TypeError):
        Message(object()).serialize()


def test_a_message_made_by_hand_is_nobodys_to_give_back() -> None:
    message = Message("x")
    message.ack()
    with pytest.raises(LocalProtocolError):
        message.nack()


def test_its_text_tells_what_it_carries() -> None:
    assert repr(Message(b"x", 1, 2.0)) == (
        "Message(payload=b'x', msg_id=1, timestamp=2.0, descriptor=None)"
    )
