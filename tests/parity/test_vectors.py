"""The fallback's codec on the byte vectors, cut in several ways."""

import inspect
from collections.abc import Iterable
from typing import Any

import pytest
from tests.parity.vectors_file import load, matches

from busduct._fallback import DEALER, PULL, ROUTER, Context
from busduct._fallback._options import SocketOptions
from busduct._fallback._session import Session
from busduct._fallback._zmtp import GREETING_NBYTES, encode_greeting, encode_ready
from busduct.errors import BusductError, RemoteProtocolError

MESSAGES = load("messages.json")
HANDSHAKES = load("handshakes.json")
CUTS = ["whole", "byte by byte", "trailing"]


def open_session(kind: int, max_message_bytes: int, max_parts: int) -> Session:
    parameters = inspect.signature(Context.socket).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    limits = {"max_message_bytes": max_message_bytes, "max_parts": max_parts}
    return Session(SocketOptions(kind=kind, **(defaults | limits)))


def listen(
    session: Session, chunks: Iterable[bytes]
) -> tuple[list[list[str]], BusductError | None]:
    """Feed a session; return its messages in hex, and its error."""
    messages: list[list[str]] = []
    try:
        for chunk in chunks:
            session.feed(chunk)
            while (message := session.take()) is not None:
                messages.append([part.hex() for part in message])
    except RemoteProtocolError as error:
        return messages, error
    return messages, None


def cut(data: bytes, how: str) -> list[bytes]:
    if how == "byte by byte":
        return [data[at : at + 1] for at in range(len(data))]
    # A header that is not complete must change nothing.
    return [data + b"\0" if how == "trailing" else data]


def shifted(error: dict[str, Any] | None, offset: int) -> dict[str, Any] | None:
    """Count the offset of an error from the start of the stream."""
    if error is None or "offset" not in error:
        return error
    return error | {"offset": error["offset"] + offset}


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("vector", MESSAGES, ids=lambda vector: vector["name"])
def test_messages_come_out_as_written(vector: dict[str, Any], how: str) -> None:
    session = open_session(PULL, vector["max_message_bytes"], vector["max_parts"])
    introduction = encode_greeting() + encode_ready([(b"Socket-Type", b"PUSH")])
    assert listen(session, [introduction]) == ([], None)
    session.control.clear()
    # A message that is cut would swallow what trails.
    is_cut = "awaited" in vector["name"]
    data = bytes.fromhex(vector["hex"])
    messages, error = listen(session, cut(data, "whole" if is_cut else how))
    assert messages == vector["messages"]
    assert matches(error, shifted(vector["error"], len(introduction)))
    if vector["error"] is None:
        assert session.control.hex() == "".join(vector["replies"])


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("vector", HANDSHAKES, ids=lambda vector: vector["name"])
def test_handshakes_end_as_written(vector: dict[str, Any], how: str) -> None:
    session = open_session(ROUTER, 1000, 8)
    messages, error = listen(session, cut(bytes.fromhex(vector["hex"]), how))
    assert messages == []
    assert matches(error, vector["error"])
    assert session.is_up == (vector["error"] is None)
    if session.is_up:
        assert session.peer_routing_id.hex() == vector["routing_id"]


def test_our_own_introduction_is_one_that_we_accept() -> None:
    left, right = open_session(DEALER, 1000, 8), open_session(ROUTER, 1000, 8)
    for _ in range(2):
        for speaker, listener in ((left, right), (right, left)):
            said = bytes(speaker.control)
            speaker.control.clear()
            assert listen(listener, [said]) == ([], None)
    assert left.is_up
    assert right.is_up


def test_greeting_is_64_bytes_of_version_3_1() -> None:
    greeting = encode_greeting()
    assert len(greeting) == GREETING_NBYTES == 64
    assert greeting[:12] == b"\xff" + bytes(8) + b"\x7f\x03\x01"
    assert greeting[12:32] == b"NULL" + bytes(16)
    assert greeting[32:] == bytes(32)
