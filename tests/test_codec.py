"""The message codec: typed, strict, bounded, and closed to what a peer makes up."""

import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from busduct.codec import MessageCodec
from busduct.errors import (
    ConfigError,
    FrameTooLargeError,
    MalformedFrameError,
    RemoteProtocolError,
)


class Sample(msgspec.Struct, tag=True):
    name: str
    number: int = 0
    values: list[float] = []
    blob: bytes = b""


class Ended(msgspec.Struct, tag=True):
    reason: str | None = None


class Picture(msgspec.Struct):
    pixels: memoryview
    title: str = ""


class Node(msgspec.Struct):
    children: list["Node"] = []


SAMPLES = st.builds(
    Sample,
    name=st.text(),
    number=st.integers(min_value=-(2**63), max_value=2**64 - 1),
    values=st.lists(st.floats(allow_nan=False)),
    blob=st.binary(),
)


@given(st.one_of(SAMPLES, st.builds(Ended, reason=st.none() | st.text())))
def test_what_is_encoded_decodes_to_the_same(item: Sample | Ended) -> None:
    codec = MessageCodec[Sample | Ended](Sample | Ended)
    assert codec.decode(codec.encode(item)[1]) == item


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_raise_the_typed_error(data: bytes) -> None:
    for message_type in (Sample, Node, Any, dict[str, Any]):
        try:
            MessageCodec[Any](message_type).decode(data)
        except RemoteProtocolError:
            continue


@given(SAMPLES, st.data())
def test_every_cut_is_malformed(item: Sample, data: st.DataObject) -> None:
    codec = MessageCodec(Sample)
    payload = codec.encode(item)[1]
    cut = data.draw(st.integers(min_value=0, max_value=len(payload) - 1))
    with pytest.raises(MalformedFrameError) as raised:
        codec.decode(payload[:cut])
    assert raised.value.offset == cut


def test_what_follows_the_message_is_malformed_at_its_place() -> None:
    codec = MessageCodec(Sample)
    payload = codec.encode(Sample("x"))[1]
    with pytest.raises(MalformedFrameError) as raised:
        codec.decode(payload + b"\x01")
    assert raised.value.offset == len(payload)
    assert str(raised.value).endswith(f"trailing characters at byte {len(payload)}")


@pytest.mark.parametrize(
    "value",
    [
        {"type": "Sample", "name": 7},
        {"type": "Sample", "name": "x", "number": "7"},
        {"type": "Other", "name": "x"},
        ["Sample", "x"],
        None,
    ],
)
def test_other_types_are_not_converted(value: object) -> None:
    with pytest.raises(RemoteProtocolError, match="payload is not a Sample"):
        MessageCodec(Sample).decode(msgspec.msgpack.encode(value))


@pytest.mark.parametrize("message_type", [Any, dict[str, Any], list[Any]])
def test_extension_type_is_refused(message_type: type) -> None:
    ext = msgspec.msgpack.Ext(5, b"code")
    for value in (ext, {"a": ext}, [ext]):
        with pytest.raises(RemoteProtocolError):
            MessageCodec(message_type).decode(msgspec.msgpack.encode(value))


def test_refused_extension_type_is_named() -> None:
    data = msgspec.msgpack.encode(msgspec.msgpack.Ext(5, b"code"))
    with pytest.raises(RemoteProtocolError, match="extension type 5 is refused"):
        MessageCodec[Any](Any).decode(data)


def test_type_that_holds_extensions_is_refused() -> None:
    class Open(msgspec.Struct):
        inner: dict[str, list[msgspec.msgpack.Ext | None]]

    with pytest.raises(ConfigError, match="extension type"):
        MessageCodec(Open)
    MessageCodec(Node)


def test_timestamp_of_an_aware_datetime_passes() -> None:
    codec = MessageCodec(datetime.datetime)
    then = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    assert codec.decode(codec.encode(then)[1]) == then


@pytest.mark.parametrize("data", [b"\x91" * 100_000, b"\xa2\xff\xff", b"\xdd" * 5])
def test_nesting_bad_text_and_lying_lengths_are_typed_errors(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        MessageCodec[Any](Any).decode(data)


def test_size_is_limited_both_ways() -> None:
    codec = MessageCodec(bytes, max_message_bytes=102)
    assert codec.decode(codec.encode(bytes(100))[1]) == bytes(100)
    with pytest.raises(FrameTooLargeError) as raised:
        codec.encode(bytes(101))
    assert (raised.value.size, raised.value.limit) == (103, 102)
    with pytest.raises(FrameTooLargeError):
        codec.decode(MessageCodec(bytes).encode(bytes(101))[1])


def test_limit_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_message_bytes is 0"):
        MessageCodec(int, max_message_bytes=0)


@pytest.mark.parametrize("wrap", [bytes, memoryview])
def test_memoryview_field_is_a_view_of_the_payload(wrap: type) -> None:
    codec = MessageCodec(Picture)
    payload = codec.encode(Picture(memoryview(bytes(1 << 20)), "dark"))[1]
    picture = codec.decode(wrap(payload))
    assert picture.pixels.nbytes == 1 << 20
    assert picture.pixels.obj is payload
    assert picture.pixels.readonly


def test_topic_is_fixed_or_computed() -> None:
    assert MessageCodec(int, topic="n").encode(7) == (b"n", b"\x07")
    assert MessageCodec(int, topic=lambda n: f"n.{n}").encode(7)[0] == b"n.7"
    assert MessageCodec(int).encode(7)[0] == b""


def test_hooks_carry_types_that_msgpack_does_not_know() -> None:
    codec = MessageCodec(
        complex,
        enc_hook=lambda value: [value.real, value.imag],
        dec_hook=lambda _, value: complex(*value),
    )
    assert codec.decode(codec.encode(1 + 2j)[1]) == 1 + 2j


def test_payload_of_a_peer_is_dropped_and_a_bug_is_raised() -> None:
    codec = MessageCodec(int)
    assert codec.on_decode_error(b"", MalformedFrameError(0)) is None
    with pytest.raises(ZeroDivisionError):
        codec.on_decode_error(b"", ZeroDivisionError())
