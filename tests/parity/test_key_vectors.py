"""The fallback's handshake and records on the byte vectors, cut in several ways."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.parity.vectors_file import load, matches

from busduct._fallback._auth import Handshake
from busduct._fallback._seal import MAX_RECORD_NBYTES, Opener, Sealer
from busduct._fallback._zmtp import GREETING_NBYTES, parse_greeting
from busduct.errors import AuthError, BusductError, RemoteProtocolError

HANDSHAKES = load("key_handshakes.json")
RECORDS = load("records.json")
KEY = bytes(range(32))


def pieces(data: bytes, how: str) -> list[bytes]:
    step = {"whole": len(data) or 1, "byte by byte": 1, "by sevens": 7}[how]
    return [data[at : at + step] for at in range(0, len(data), step)]


def open_pieces(
    opener: Opener, chunks: list[bytes]
) -> tuple[bytes, BusductError | None]:
    """Feed an opener; return what it gave, and its error."""
    plain = b""
    try:
        for chunk in chunks:
            opener.feed(chunk)
            plain += opener.take()
            opener.check()
    except AuthError as error:
        return plain, error
    return plain, None


def run(
    handshake: Handshake, data: bytes, how: str
) -> tuple[bytearray, bytes, BusductError | None]:
    """Let a handshake hear a peer; return what it said, what it opened, its error."""
    said = bytearray(handshake.greeting)
    greeting = data[:GREETING_NBYTES]
    rest = b""
    try:
        if not parse_greeting(greeting, handshake.greeting):
            return said, b"", None
        handshake.begin(greeting, said)
        for piece in pieces(data[GREETING_NBYTES:], how):
            if handshake.channel:
                rest += piece
            else:
                handshake.feed(piece, said)
    except (RemoteProtocolError, AuthError) as error:
        return said, b"", error
    if handshake.channel is None:
        return said, b"", None
    return said, *open_pieces(handshake.channel[1], [handshake.rest + rest])


@pytest.mark.parametrize("how", ["whole", "byte by byte", "by sevens"])
@pytest.mark.parametrize("vector", HANDSHAKES, ids=lambda vector: vector["name"])
def test_handshakes_end_as_written(vector: dict[str, Any], how: str) -> None:
    handshake = Handshake(
        bytes.fromhex(vector["key"]), vector["role"], bytes.fromhex(vector["nonce"])
    )
    said, plain, error = run(handshake, bytes.fromhex(vector["hears"]), how)
    assert plain.hex() == vector["plain"]
    expected = vector["error"]
    if expected == {"kind": "unfinished"}:
        assert (handshake.channel, error) == (None, None)
    else:
        assert matches(error, expected)
    assert said.hex() == vector["says"]


@pytest.mark.parametrize("how", ["whole", "byte by byte", "by sevens"])
@pytest.mark.parametrize("vector", RECORDS, ids=lambda vector: vector["name"])
def test_records_open_as_written(vector: dict[str, Any], how: str) -> None:
    opener = Opener(bytes.fromhex(vector["key"]))
    plain, error = open_pieces(opener, pieces(bytes.fromhex(vector["hex"]), how))
    assert plain.hex() == vector["plain"]
    assert matches(error, vector["error"])
    if error is None:
        assert opener.is_amid_record == vector["amid_record"]
    else:
        opener.feed(bytes.fromhex(vector["hex"]))
        assert opener.take() == b""


@given(
    st.lists(st.binary(max_size=200), max_size=8),
    st.integers(min_value=1, max_value=300),
)
def test_what_is_sealed_opens_wherever_it_is_cut(parts: list[bytes], step: int) -> None:
    wire = bytearray()
    sealer = Sealer(KEY)
    assert sealer.seal(parts, wire) == sum(map(len, parts))
    chunks = [bytes(wire[at : at + step]) for at in range(0, len(wire), step)]
    assert open_pieces(Opener(KEY), chunks) == (b"".join(parts), None)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_any_changed_bit_is_noticed(payload: bytes, data: st.DataObject) -> None:
    wire = bytearray()
    Sealer(KEY).seal([payload], wire)
    at = data.draw(st.integers(min_value=0, max_value=len(wire) - 1))
    wire[at] ^= 1 << data.draw(st.integers(min_value=0, max_value=7))
    opener = Opener(KEY)
    plain, error = open_pieces(opener, [bytes(wire)])
    assert plain == b""
    # A length that grew makes a record that is never whole.
    assert isinstance(error, AuthError) or opener.is_amid_record


def test_a_call_seals_records_of_at_most_64_kib_up_to_128_kib() -> None:
    payload = bytes(range(256)) * 1024
    wire = bytearray()
    assert Sealer(KEY).seal([payload[:100], payload], wire) == 2 * MAX_RECORD_NBYTES
    assert len(wire) == 2 * (MAX_RECORD_NBYTES + 20)
    plain, error = open_pieces(Opener(KEY), [bytes(wire)])
    assert error is None
    assert plain == (payload[:100] + payload)[: 2 * MAX_RECORD_NBYTES]


def test_mac_is_keyed_blake2b_of_length_and_payload_salted_by_the_counter() -> None:
    wire = bytearray()
    sealer = Sealer(KEY)
    sealer.seal([b"first"], wire)
    del wire[:]
    sealer.seal([b"second"], wire)
    body = b"\0\0\0\6second"
    salt = (1).to_bytes(8, "big")
    mac = hashlib.blake2b(body, digest_size=16, key=KEY, salt=salt).digest()
    assert wire == body + mac
