"""A worker keeps queries in order, gives up what is cancelled, and loses nothing."""

import asyncio
import json

import pytest
from tests.endpoint.http_server import (
    STREAM_HEAD,
    Peer,
    chunk,
    serving,
)
from tests.endpoint.worker_faces import (
    WaitingWire,
    Wire,
    answer,
    ask,
    event,
    say_hello,
    texts,
    working,
)
from tests.processes.conditions import until

from busduct.endpoint import _worker
from busduct.errors import FrameTooLargeError

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_queries_start_in_order_and_count_once(any_loop: str) -> None:
    order: list[str] = []

    async def script(peer: Peer) -> None:
        while True:
            order.append(json.loads(await peer.request())["messages"][0]["content"])
            await peer.write(answer())

    async with (
        serving(script) as server,
        working(server.url, max_connections=1) as wire,
    ):
        prompts = [str(number) for number in range(300)]
        wire.put(*(ask(prompt, prompt=prompt) for prompt in prompts))
        await until(lambda: len(wire.sent) == 300)
        assert order == prompts
        assert wire.num_advanced == 300


async def test_cancelling_a_running_query_closes_its_connection(any_loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(STREAM_HEAD)
        await peer.event(event("begun"))
        await peer.gone()
        gone.append(peer.index)

    gone: list[int] = []
    async with serving(script) as server, working(server.url) as wire:
        wire.put(ask("a", stream=True))
        await until(wire.chunks)
        wire.put("a", "a", "unknown")
        await until(lambda: gone == [0])
        assert wire.outcomes() == [("a", "cancelled")]
        assert wire.num_advanced == 1


async def test_cancelling_a_waiting_query_takes_it_out_of_the_line(
    any_loop: str,
) -> None:
    async def script(peer: Peer) -> None:
        while True:
            asked.append(json.loads(await peer.request())["messages"][0]["content"])
            await may_go_on.wait()
            await peer.write(answer())

    asked: list[str] = []
    may_go_on = asyncio.Event()
    async with (
        serving(script) as server,
        working(server.url, max_connections=1) as wire,
    ):
        wire.put(*(ask(name, prompt=name) for name in "abcd"))
        await until(lambda: asked == ["a"])
        wire.put("b", "d")
        await until(lambda: not wire.num_untaken)
        # The pool hears of it at once: somebody may use the id again.
        assert wire.outcomes() == [("b", "cancelled"), ("d", "cancelled")]
        # Not counted before those ahead of it are.
        assert wire.num_advanced == 1
        may_go_on.set()
        await wire.result("c")
        await until(lambda: wire.num_advanced == 4)
        assert asked == ["a", "c"]
        assert wire.outcomes()[2:] == [("a", None), ("c", None)]


async def test_cancelling_while_connecting_leaves_the_connection_to_others(
    any_loop: str,
) -> None:
    async with serving(say_hello) as server, working(server.url) as wire:
        wire.put(ask("a"), "a", ask("b"))
        assert (await wire.result("b")).error is None
        assert wire.outcomes() == [("a", "cancelled"), ("b", None)]
        assert wire.num_advanced == 2


@pytest.mark.parametrize("wire_class", [Wire, WaitingWire])
async def test_full_transport_loses_nothing_and_stops_reading(
    wire_class: type[Wire], any_loop: str
) -> None:
    num_events = 20_000

    async def script(peer: Peer) -> None:
        nonlocal num_written
        await peer.request()
        await peer.write(STREAM_HEAD)
        for number in range(num_events):
            await peer.event(event(f"{number:1000} "))
            num_written += 1
        await peer.event(b"[DONE]")
        await peer.write(chunk(b""))

    num_written = 0
    wire = wire_class()
    wire.room = 10
    async with (
        serving(script) as server,
        working(server.url, wire, stream_all_chunks=True) as wire,
    ):
        wire.put(ask(stream=True))
        await until(lambda: not wire.room)
        seen = -1
        while seen != num_written:
            seen = num_written
            await asyncio.sleep(0.05)
        # What is not read fills the kernel, and the server waits.
        assert num_written < num_events
        assert len(wire.sent) == 10
        wire.room = 1 << 30
        wire.has_room.set()
        result = await wire.result()
        expected = "".join(f"{number:1000} " for number in range(num_events))
        assert "".join(each.response_chunk for each in wire.chunks()) == expected
        assert "".join(texts(result)) == expected


async def test_full_transport_starts_nothing(any_loop: str) -> None:
    async with serving(say_hello) as server, working(server.url) as wire:
        wire.put(ask("a"))
        await wire.result("a")
        wire.room = 0
        wire.put(ask("b"))
        await until(lambda: wire.num_advanced == 2)
        await asyncio.sleep(0.02)
        wire.put(ask("c"))
        await asyncio.sleep(0.02)
        assert wire.num_advanced == 2
        wire.room = 10
        await wire.result("c")
        assert [each.id for each in wire.results()] == ["a", "b", "c"]


async def test_result_too_large_for_the_transport_is_an_error(any_loop: str) -> None:
    async with serving(say_hello) as server, working(server.url) as wire:
        wire.refusal = FrameTooLargeError(5000, 1000)
        wire.put(ask())
        result = await wire.result()
        assert result.error is not None
        assert result.error.error_type == "too_large"
        assert result.metadata == {"worker_id": 0}


async def test_chunk_that_cannot_be_sent_ends_its_query(any_loop: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(STREAM_HEAD)
        await peer.event(event("begun"))
        await peer.gone()

    async with serving(script) as server, working(server.url) as wire:
        wire.refusal = TypeError("not a message")
        wire.put(ask(stream=True))
        result = await wire.result()
        assert result.error is not None
        assert "not a message" in result.error.error_message
        await until(lambda: server.num_open == 0)
        assert len(wire.sent) == 1


async def test_worker_takes_no_more_than_it_can_hold(
    any_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        await may_go_on.wait()
        await say_hello(peer)

    monkeypatch.setattr(_worker, "MAX_WAITING", 10)
    may_go_on = asyncio.Event()
    async with serving(script) as server, working(server.url) as wire:
        names = [str(number) for number in range(100)]
        wire.put(*map(ask, names))
        await until(lambda: server.num_open == 4)
        await until(lambda: wire.num_advanced == 4)
        # More are taken when half of the line is gone.
        assert wire.num_untaken == 100 - 10
        may_go_on.set()
        await until(lambda: len(wire.sent) == 100)
        assert {each.id for each in wire.sent} == set(names)


async def test_line_of_cancelled_queries_does_not_stop_the_worker(
    any_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await may_go_on.wait()
        await peer.write(answer())
        await say_hello(peer)

    monkeypatch.setattr(_worker, "MAX_WAITING", 10)
    may_go_on = asyncio.Event()
    async with (
        serving(script) as server,
        working(server.url, max_connections=1) as wire,
    ):
        wire.put(ask("a"))
        await until(lambda: wire.num_advanced == 1)
        waiting = [str(number) for number in range(8)]
        wire.put(*map(ask, waiting), *waiting, ask("b"), ask("c"), ask("d"))
        await until(lambda: wire.num_untaken == 1)
        may_go_on.set()
        assert (await wire.result("d")).error is None
        cancelled = [(number, "cancelled") for number in waiting]
        assert wire.outcomes()[:8] == cancelled
        assert wire.outcomes()[8:] == [(name, None) for name in "abcd"]


async def test_worker_with_a_full_line_can_be_stopped(
    any_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    monkeypatch.setattr(_worker, "MAX_WAITING", 10)
    async with serving(script) as server, working(server.url) as wire:
        wire.put(*(ask(str(number)) for number in range(100)))
        await until(lambda: wire.num_advanced == 4)
