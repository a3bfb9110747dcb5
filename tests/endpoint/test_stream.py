"""A stream of chunks: order, its end, giving it up, and a reader that is too slow."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from busduct._waking import Waker
from busduct.endpoint import _stream
from busduct.endpoint._stream import ChunkBuffer, QueryStream
from busduct.errors import LocalProtocolError, QueryError, QueryTimeoutError
from busduct.messages import ErrorData, QueryResult, StreamChunk


def open_stream() -> tuple[QueryStream, ChunkBuffer, list[str]]:
    given_up: list[str] = []
    waker = Waker()
    buffer = ChunkBuffer(waker)
    return QueryStream("q", buffer, given_up.append), buffer, given_up


def chunk(text: str, *, first: bool = False) -> StreamChunk:
    return StreamChunk(id="q", response_chunk=text, metadata={"first_chunk": first})


async def texts(stream: AsyncIterator[StreamChunk]) -> list[str]:
    return [item.response_chunk async for item in stream]


async def test_chunks_come_in_order_and_then_the_result() -> None:
    stream, buffer, given_up = open_stream()
    reading = asyncio.create_task(texts(stream))
    for text in "abc":
        buffer.put(chunk(text))
        await asyncio.sleep(0)
    assert stream.result is None
    buffer.put(QueryResult(id="q"))
    assert await reading == ["a", "b", "c"]
    assert stream.result == buffer.result
    assert await texts(stream) == []
    await stream.aclose()
    assert given_up == []


async def test_an_error_is_raised_once_after_the_chunks_before_it() -> None:
    stream, buffer, given_up = open_stream()
    buffer.put(chunk("a"))
    error = ErrorData(
        error_type="http", error_message="busy", status=429, retry_after=2.0
    )
    buffer.put(QueryResult(id="q", error=error))
    assert (await anext(stream)).response_chunk == "a"
    with pytest.raises(QueryError, match="query q failed: http 429: busy") as caught:
        await anext(stream)
    assert (caught.value.status, caught.value.retry_after) == (429, 2.0)
    assert await texts(stream) == []
    assert given_up == []


async def test_a_deadline_is_a_timeout_error() -> None:
    stream, buffer, _ = open_stream()
    buffer.put(QueryResult(id="q", error=ErrorData(error_type="timeout")))
    with pytest.raises(TimeoutError) as caught:
        await anext(stream)
    assert isinstance(caught.value, QueryTimeoutError)


async def test_leaving_early_gives_it_up_however_it_is_left() -> None:
    stream, buffer, given_up = open_stream()
    buffer.put(chunk("a"))
    async with stream:
        await anext(stream)
    assert given_up == ["q"]
    await stream.aclose()
    assert given_up == ["q"]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)

    stream, buffer, given_up = open_stream()
    async with aclosing(stream):
        pass
    assert given_up == ["q"]

    stream, buffer, given_up = open_stream()
    buffer.put(chunk("a"))
    async for _ in stream:
        break
    del stream
    gc.collect()
    assert given_up == ["q"]


async def test_cancelling_a_read_loses_no_chunk() -> None:
    stream, buffer, given_up = open_stream()
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    buffer.put(chunk("a"))
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (await anext(stream)).response_chunk == "a"
    assert given_up == []


async def test_two_readers_at_once_are_refused() -> None:
    stream, buffer, _ = open_stream()
    reading = asyncio.create_task(texts(stream))
    await asyncio.sleep(0)
    with pytest.raises(LocalProtocolError, match="another task waits"):
        await anext(stream)
    buffer.put(QueryResult(id="q"))
    assert await reading == []


async def test_a_slow_reader_gets_all_text_in_larger_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_stream, "MAX_CHUNKS", 3)
    stream, buffer, _ = open_stream()
    buffer.put(chunk("0", first=True))
    for text in "123456":
        buffer.put(chunk(text))
    assert (await anext(stream)).response_chunk == "0"
    buffer.put(chunk("7"))
    buffer.put(chunk("8"))
    buffer.put(QueryResult(id="q"))
    assert await texts(stream) == ["1", "23456", "78"]


async def test_chunks_that_say_something_else_are_not_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_stream, "MAX_CHUNKS", 1)
    stream, buffer, _ = open_stream()
    buffer.put(chunk("0", first=True))
    buffer.put(chunk("1"))
    buffer.put(chunk("2"))
    buffer.put(QueryResult(id="q"))
    first = await anext(stream)
    assert (first.response_chunk, first.metadata) == ("0", {"first_chunk": True})
    assert await texts(stream) == ["12"]


async def test_a_reader_in_another_loop_is_woken() -> None:
    stream, buffer, _ = open_stream()
    begun = threading.Event()
    taken: list[str] = []

    async def read() -> None:
        begun.set()
        taken.extend(await texts(stream))

    thread = threading.Thread(target=lambda: asyncio.run(read()))
    thread.start()
    assert begun.wait(50)
    for number in range(500):
        buffer.put(chunk(f"{number} "))
        if number % 50 == 0:
            await asyncio.sleep(0)
    buffer.put(QueryResult(id="q"))
    await asyncio.to_thread(thread.join)
    assert "".join(taken) == "".join(f"{number} " for number in range(500))
