"""Both backends on the byte vectors, as a peer sends them over a real connection."""

import asyncio
from types import ModuleType
from typing import Any

import pytest
from tests.parity.vectors_file import load, matches
from tests.transport.peers import GREETING, RawPeer, frame, ready
from tests.transport.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")


async def speak(peer: RawPeer, data: bytes, *, byte_by_byte: bool) -> None:
    if not byte_by_byte:
        await peer.send(data)
        return
    for at in range(len(data)):
        await peer.send(data[at : at + 1])
        # Let the other side read it before the next comes.
        await asyncio.sleep(0)


@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize(
    "vector", load("messages.json"), ids=lambda vector: vector["name"]
)
async def test_messages_come_out_as_written(
    backend: ModuleType, vector: dict[str, Any], byte_by_byte: bool
) -> None:
    data = bytes.fromhex(vector["hex"])
    limits = {name: vector[name] for name in ("max_message_bytes", "max_parts")}
    expected = [[bytes.fromhex(part) for part in m] for m in vector["messages"]]
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, **limits)
        endpoint = rx.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"PUSH") as peer:
            is_whole = vector["error"] is None and "awaited" not in vector["name"]
            if is_whole:
                data += frame(b"last")
                expected.append([b"last"])
            await speak(peer, data, byte_by_byte=byte_by_byte)
            received = [await rx.recv_multipart() for _ in expected]
            assert received == expected
            for reply in vector["replies"]:
                flags, body = await peer.receive()
                assert frame(body, flags).hex() == reply
            if vector["error"] is None:
                assert rx.recent_errors() == []
                return
            await peer.until_closed()
        (error,) = await eventually(rx.recent_errors)
        wanted = dict(vector["error"])
        if "offset" in wanted:
            wanted["offset"] += len(GREETING + ready(b"PUSH"))
        assert matches(error, wanted)
        assert rx.recv_multipart_nowait() is None


@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize(
    "vector", load("handshakes.json"), ids=lambda vector: vector["name"]
)
async def test_handshakes_end_as_written(
    backend: ModuleType, vector: dict[str, Any], byte_by_byte: bool
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        endpoint = router.bind("tcp://127.0.0.1:0")
        async with await RawPeer.connect(endpoint) as peer:
            data = bytes.fromhex(vector["hex"])
            await speak(peer, data, byte_by_byte=byte_by_byte)
            if vector["error"] is None:
                await peer.send(frame(b"hello"))
                name, text = await router.recv_multipart()
                assert text == b"hello"
                assert name.hex() == vector["routing_id"] or name[:1] == b"\0"
                return
            await peer.until_closed()
        (error,) = await eventually(router.recent_errors)
        assert matches(error, vector["error"])
        assert router.statistics().num_connected == 0
