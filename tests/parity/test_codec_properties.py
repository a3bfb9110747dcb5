"""Properties of the fallback's codec that hold for any bytes."""

import itertools
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from busduct._fallback._decoder import MessageDecoder
from busduct._fallback._marks import message_cost
from busduct._fallback._outbox import Outbox, Written
from busduct._fallback._zmtp import encode_message, framed_nbytes, parse_metadata
from busduct.errors import MalformedFrameError, RemoteProtocolError

# Around the border between short and long frames, and beyond.
parts = st.one_of(
    st.binary(max_size=20),
    st.integers(0, 600).map(bytes),
    st.sampled_from([bytes(255), bytes(256), bytes(5000), bytes(20_000)]),
)
messages = st.lists(st.lists(parts, min_size=1, max_size=6), max_size=8)
# Flags and small lengths, so that many of them come close to parsing.
noise = st.one_of(
    st.binary(max_size=200),
    st.lists(st.integers(0, 9), max_size=200).map(bytes),
)


def decode(chunks: Sequence[bytes]) -> tuple[list[object], str | None]:
    """Return what comes out of a decoder, and its error."""
    decoder = MessageDecoder(max_message_nbytes=150_000, max_parts=6)
    items: list[object] = []
    try:
        for chunk in chunks:
            decoder.feed(chunk)
            while (item := decoder.take()) is not None:
                items.append(item)
    except RemoteProtocolError as error:
        return items, str(error)
    return items, None


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut bytes at these places."""
    places = [0, *sorted(min(place, len(data)) for place in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


@given(messages, st.lists(st.integers(0, 30_000), max_size=12))
def test_messages_come_back_however_they_are_cut(
    sent: list[list[bytes]], at: list[int]
) -> None:
    wire = b"".join(piece for message in sent for piece in encode_message(message))
    assert len(wire) == sum(map(framed_nbytes, sent))
    assert decode(cut(wire, at)) == (sent, None)


@given(noise, st.lists(st.integers(0, 200), max_size=12))
def test_noise_means_the_same_however_it_is_cut(data: bytes, at: list[int]) -> None:
    assert decode(cut(data, at)) == decode([data])


@given(st.binary(max_size=120))
def test_metadata_parses_or_is_malformed(data: bytes) -> None:
    try:
        properties = parse_metadata(data, 0)
    except MalformedFrameError:
        return
    # Each property takes its two lengths; of a repeated one the last counts.
    nbytes = sum(len(name) + len(value) + 5 for name, value in properties.items())
    assert nbytes <= len(data)


@given(messages, st.lists(st.integers(1, 70_000), min_size=1, max_size=20))
def test_outbox_writes_the_same_bytes_however_much_is_taken(
    sent: list[list[bytes]], steps: list[int]
) -> None:
    outbox, done, wire, turn = Outbox(), Written(), b"", 0
    for message in sent:
        outbox.push(message, message_cost(message))
    while outbox:
        taken = steps[turn % len(steps)]
        turn += 1

        def take(buffers: list[bytes | memoryview], limit: int = taken) -> int:
            nonlocal wire
            offered = b"".join(buffers)[:limit]
            wire += offered
            return len(offered)

        outbox.write(take, done, only_first=outbox.is_amid_message)
    assert wire == b"".join(piece for m in sent for piece in encode_message(m))
    assert outbox.cost == 0
    assert done.num_messages == len(sent)
    assert done.nbytes == sum(len(part) for message in sent for part in message)
