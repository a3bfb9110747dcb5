"""A worker makes one result of a stream, however it ends."""

import asyncio

import pytest
from tests.endpoint.http_server import (
    STREAM_HEAD,
    Peer,
    chunk,
    replying,
    serving,
)
from tests.endpoint.worker_faces import (
    answer,
    ask,
    event,
    say_hello,
    texts,
    working,
)
from tests.processes.conditions import until

from busduct.endpoint.adapters import OpenAIChatAdapter

pytestmark = pytest.mark.usefixtures("no_leaks")

END = b'{"choices": "end"}'


@pytest.mark.parametrize("sends_all", [False, True], ids=["first", "all"])
async def test_streamed_answer_comes_in_chunks_and_a_result(
    sends_all: bool, any_loop: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(STREAM_HEAD)
        for text in ("one ", "two ", "three"):
            await peer.event(event(text))
        await peer.event(event(None, "stop"))
        await peer.event(b"[DONE]")
        await peer.write(chunk(b""))
        await say_hello(peer)

    async with (
        serving(script) as server,
        working(server.url, stream_all_chunks=sends_all) as wire,
    ):
        wire.put(ask("a", stream=True))
        result = await wire.result("a")
        # The connection is kept.
        wire.put(ask("b"))
        assert texts(await wire.result("b")) == "hello"
        assert len(server.peers) == 1
    assert "".join(texts(result)) == "one two three"
    assert result.metadata["finish_reason"] == "stop"
    assert result.metadata["worker_id"] == 0
    got = [(each.id, each.response_chunk) for each in wire.chunks()]
    expected = [("a", "one "), ("a", "two "), ("a", "three")]
    assert got == (expected if sends_all else expected[:1])


async def test_result_comes_with_the_last_event_not_with_the_last_chunk(
    any_loop: str,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(STREAM_HEAD)
        await peer.event(event("all"))
        await peer.event(b"[DONE]")
        await may_end.wait()
        await peer.write(chunk(b""))
        await say_hello(peer)

    may_end = asyncio.Event()
    async with (
        serving(script) as server,
        working(server.url, max_connections=1) as wire,
    ):
        wire.put(ask("a", stream=True), ask("b"))
        assert (await wire.result("a")).error is None
        may_end.set()
        assert texts(await wire.result("b")) == "hello"


async def test_whole_answer_to_a_streaming_query_is_read_as_a_whole(
    any_loop: str,
) -> None:
    async with serving(say_hello) as server, working(server.url) as wire:
        wire.put(ask(stream=True))
        result = await wire.result()
    assert (result.error, texts(result)) == (None, "hello")


async def test_events_are_read_as_events_though_nobody_asked() -> None:
    stream = [STREAM_HEAD, chunk(b"data: " + event("x") + b"\n\n"), chunk(b"")]
    async with serving(replying(*stream)) as server, working(server.url) as wire:
        wire.put(ask())
        result = await wire.result()
    assert (result.error, texts(result)) == (None, ("x",))


ENDINGS = {
    "half an event": (b'data: {"choices"', True, "truncated"),
    "half an event, reset": (b'data: {"choices"', True, "truncated"),
    "half an event, whole body": (b'data: {"choices"', False, "truncated"),
    "no last event": (b"", True, "truncated"),
    "event is no JSON": (b"data: {]\n\n", False, "malformed"),
    "event is not UTF-8": (b'data: {"choices": "\xff\xfe"}\n\n', False, "malformed"),
    "event is another": (b'data: {"choices": 5}\n\n', False, "malformed"),
    "error": (b'data: {"error": {"message": "oops"}}\n\n', False, "endpoint"),
    "large event": (b"data: " + b"x" * 5000 + b"\n\n", False, "too_large"),
}


@pytest.mark.parametrize("name", ENDINGS)
async def test_broken_stream_ends_with_an_error_and_what_came(
    name: str, any_loop: str
) -> None:
    last, is_cut, kind = ENDINGS[name]

    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.index:
            await peer.write(answer())
            await say_hello(peer)
        await peer.write(STREAM_HEAD)
        await peer.event(event("begun"))
        await until(lambda: wire.chunks())
        if last:
            await peer.write(chunk(last))
        if not is_cut:
            await peer.write(chunk(b""))
            await say_hello(peer)
        elif "reset" in name:
            peer.reset()

    async with (
        serving(script) as server,
        working(server.url, max_event_bytes=4096) as wire,
    ):
        wire.put(ask("a", stream=True))
        result = await wire.result("a")
        assert result.error is not None
        assert result.error.error_type == kind
        if kind != "endpoint":
            assert result.error.status == 200
        assert texts(result) == ("begun",)
        assert result.metadata["worker_id"] == 0
        wire.put(ask("b"))
        assert (await wire.result("b")).error is None
        assert len(wire.results()) == 2


@pytest.mark.parametrize("is_reset", [False, True])
async def test_stream_that_told_why_it_finished_is_whole(is_reset: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(STREAM_HEAD)
        await peer.event(event("all", "stop"))
        await until(lambda: wire.chunks())
        if is_reset:
            peer.reset()

    async with serving(script) as server, working(server.url) as wire:
        wire.put(ask(stream=True))
        result = await wire.result()
    assert (result.error, texts(result)) == (None, ("all",))


async def test_stream_without_an_event_is_truncated() -> None:
    async with (
        serving(replying(STREAM_HEAD, chunk(b""))) as server,
        working(server.url) as wire,
    ):
        wire.put(ask(stream=True))
        result = await wire.result()
    assert result.error is not None
    assert result.error.error_type == "truncated"
    assert result.response_output is None


async def test_stream_cut_before_an_event_is_truncated() -> None:
    async with serving(replying(STREAM_HEAD)) as server, working(server.url) as wire:
        wire.put(ask(stream=True))
        result = await wire.result()
    assert result.error is not None
    assert result.error.error_type == "truncated"
    assert result.response_output is None


async def test_what_follows_the_last_event_is_not_read() -> None:
    events = b"".join(
        b"data: " + each + b"\n\n" for each in (event("a"), b"[DONE]", event("b"))
    )
    async with (
        serving(replying(STREAM_HEAD, chunk(events), chunk(b""))) as server,
        working(server.url) as wire,
    ):
        wire.put(ask(stream=True))
        result = await wire.result()
        assert (result.error, texts(result)) == (None, ("a",))
        assert len(wire.results()) == 1


class LastEventAdapter(OpenAIChatAdapter):
    """An endpoint whose last event is JSON too, and of another kind."""

    @staticmethod
    def is_done(data: bytes) -> bool:
        return data == END


async def test_the_last_event_is_not_decoded() -> None:
    events = [chunk(b"data: " + each + b"\n\n") for each in (event("a"), END)]
    async with (
        serving(replying(STREAM_HEAD, *events, chunk(b""))) as server,
        working(server.url, adapter=LastEventAdapter) as wire,
    ):
        wire.put(ask(stream=True))
        result = await wire.result()
        assert (result.error, texts(result)) == (None, ("a",))


async def test_stream_that_is_over_and_never_ends_gives_its_connection_back(
    any_loop: str,
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if peer.index:
            await peer.write(answer())
        await peer.write(STREAM_HEAD)
        await peer.event(event("a"))
        await peer.event(b"[DONE]")
        await peer.gone()

    async with (
        serving(script) as server,
        working(server.url, max_connections=1, max_idle_time=0.1) as wire,
    ):
        wire.put(ask("a", stream=True), ask("b"))
        assert texts(await wire.result("a")) == ("a",)
        assert texts(await wire.result("b")) == "hello"


class BrokenAccumulator:
    def __init__(self, query_id: str, stream_all_chunks: bool) -> None:
        msg = "no memory"
        raise MemoryError(msg)


async def test_accumulator_that_cannot_be_made_ends_its_query_only() -> None:
    body = [STREAM_HEAD, chunk(b"data: " + event("a") + b"\n\n"), chunk(b"")]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.write(answer() if peer.index else b"".join(body))
        await peer.gone()

    async with (
        serving(script) as server,
        working(server.url, accumulator=BrokenAccumulator) as wire,
    ):
        wire.put(ask("a", stream=True))
        result = await wire.result("a")
        assert result.error is not None
        assert (result.error.error_type, result.error.status) == ("malformed", 200)
        assert result.error.error_message == "no memory"
        await until(lambda: server.num_open == 0)
        wire.put(ask("b"))
        assert (await wire.result("b")).error is None
