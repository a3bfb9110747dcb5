"""Connections that never come to a request, and the life of `serve`."""

import asyncio
import os
import signal
import socket

import pytest
from tests.server.hosting import hosted
from tests.server.stand_in import StandInEngine

from busduct.errors import AddressInUseError, WorkerStartError
from busduct.server import ServeOutcome, ServerConfig, serve


@pytest.mark.parametrize("said", [b"", b"GET /health HTTP/1.1\r\nhost:"])
def test_a_connection_without_a_request_is_closed(
    engine: StandInEngine, said: bytes
) -> None:
    with (
        hosted(engine, idle_timeout=1) as client,
        socket.create_connection(("127.0.0.1", client.port), 20) as peer,
    ):
        peer.sendall(said)
        assert peer.recv(1000) == b""


def test_an_answered_connection_that_stalls_in_its_next_head_is_closed(
    engine: StandInEngine,
) -> None:
    with (
        hosted(engine, idle_timeout=1) as client,
        socket.create_connection(("127.0.0.1", client.port), 20) as peer,
    ):
        peer.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert peer.recv(1000).startswith(b"HTTP/1.1 200 ")
        peer.sendall(b"GET /hea")
        assert peer.recv(1000) == b""


def test_a_request_under_way_outlives_the_idle_timeout(engine: StandInEngine) -> None:
    body = {"model": "stand-in", "prompt": "hold", "max_tokens": 2}
    with (
        hosted(engine, idle_timeout=1) as client,
        client.open("/v1/completions", body) as peer,
    ):
        assert engine.wait_running(1)
        peer.settimeout(1.5)
        with pytest.raises(TimeoutError):
            peer.recv(1)
        assert engine.health().num_running == 1


def test_headers_without_end_are_refused(engine: StandInEngine) -> None:
    with (
        hosted(engine) as client,
        socket.create_connection(("127.0.0.1", client.port), 20) as peer,
    ):
        peer.sendall(b"GET /health HTTP/1.1\r\n")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            peer.sendall((b"x-filler: " + b"y" * 1000 + b"\r\n") * 20_000)
        assert client.get("/health").status == 200


class RecordingEngine(StandInEngine):
    """Does at its start what a test says, and counts its ends."""

    def __init__(self) -> None:
        super().__init__()
        self.num_stopped = 0

    async def stop(self, drain: bool = True) -> None:
        self.num_stopped += 1


async def test_an_engine_that_does_not_start_is_stopped() -> None:
    class Broken(RecordingEngine):
        async def start(self) -> None:
            raise WorkerStartError("scheduler", "no weights")

    engine = Broken()
    with pytest.raises(WorkerStartError):
        await serve(engine, ServerConfig(port=0))
    assert engine.num_stopped == 1


async def test_a_signal_during_the_start_ends_it() -> None:
    class Slow(RecordingEngine):
        async def start(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    engine = Slow()
    assert await serve(engine, ServerConfig(port=0)) is ServeOutcome.DRAINED
    assert engine.num_stopped == 1


async def test_a_port_taken_during_the_start_is_told() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))

        class Late(RecordingEngine):
            async def start(self) -> None:
                other.listen()

        engine = Late()
        with pytest.raises(AddressInUseError):
            await serve(engine, ServerConfig(port=other.getsockname()[1]))
    assert engine.num_stopped == 1


async def test_cancelling_serve_stops_the_engine() -> None:
    engine = RecordingEngine()
    ready = asyncio.Event()
    running = asyncio.create_task(
        serve(engine, ServerConfig(port=0), on_ready=lambda _: ready.set())
    )
    await ready.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert engine.num_stopped == 1
