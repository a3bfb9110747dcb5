"""The mode ``variable``: delays, places, errors, and clients that go away."""

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from tests.endpoint.echo.asking import (
    CHAT,
    COMPLETIONS,
    GENERATE,
    ask,
    connected,
    read_answer,
    request,
    until,
)

from busduct.endpoint.echo import Delay, EchoConfig, EchoServer
from busduct.endpoint.echo._paced import PacedService
from busduct.endpoint.echo._timer_wheel import TimerWheel

pytestmark = pytest.mark.usefixtures("no_leaks")


def server(**settings: Any) -> EchoServer:
    return EchoServer(EchoConfig(mode="variable", **settings))


async def test_first_event_and_the_others_take_their_time(any_loop: str) -> None:
    delays = {"ttft": Delay(mean=0.08), "tpot": Delay(mean=0.01)}
    settings = {"output_length": 11, **delays}
    async with server(**settings) as echo, connected(echo.port) as (reader, writer):
        start = time.monotonic()
        writer.write(request(CHAT, {"stream": True}))
        await reader.readuntil(b"\r\n\r\n")
        first = time.monotonic() - start
        await reader.readuntil(b"\r\n0\r\n\r\n")
        last = time.monotonic() - start
    assert first >= 0.08
    assert last >= 0.18


class _RecordingWheel(TimerWheel):
    """Call everything 5 ms late, and note when it was due."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.due: list[float] = []

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        self.due.append(when)
        super().call_at(when + 0.005, callback)


async def test_late_events_make_no_later_ones(any_loop: str) -> None:
    delays = {"ttft": Delay(mean=0.02), "tpot": Delay(mean=0.002)}
    async with server(output_length=6, **delays) as echo:
        assert echo._serving is not None
        service = echo._serving.service
        assert isinstance(service, PacedService)
        service.wheel = wheel = _RecordingWheel()
        await ask(echo.port, CHAT, {"stream": True})
    steps = [after - before for before, after in pairwise(wheel.due)]
    assert steps == pytest.approx([0.002] * 5)


async def test_answer_in_one_piece_takes_as_long(any_loop: str) -> None:
    delays = {"ttft": Delay(mean=0.05), "tpot": Delay(mean=0.01)}
    async with server(output_length=6, **delays) as echo:
        start = time.monotonic()
        assert (await ask(echo.port, CHAT)).status == 200
        assert time.monotonic() - start >= 0.1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"max_tokens": 3}),
        (CHAT, {"max_completion_tokens": 3, "max_tokens": 9}),
        (COMPLETIONS, {"max_tokens": 3}),
        (GENERATE, {"sampling_params": {"max_new_tokens": 3}}),
    ],
)
async def test_request_says_how_many_tokens(path: str, body: dict[str, Any]) -> None:
    async with server() as echo:
        whole = (await ask(echo.port, path, body)).json
        streamed = await ask(echo.port, path, {**body, "stream": True})
    usage = whole.get("usage") or whole["meta_info"]
    assert usage["completion_tokens"] == 3
    assert len(streamed.events) == (3 if path == GENERATE else 4)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "hé"}]}),
        (CHAT, {"messages": [{"content": [{"type": "text", "text": "hé"}]}]}),
        (COMPLETIONS, {"prompt": "hé"}),
        (GENERATE, {"text": "hé"}),
    ],
)
async def test_echo_answers_with_the_prompt(path: str, body: dict[str, Any]) -> None:
    async with server(echo=True) as echo:
        found = (await ask(echo.port, path, body)).json
    if path != GENERATE:
        (choice,) = found["choices"]
        found = {"text": choice.get("text") or choice["message"]["content"]}
    assert found["text"] == "hé"


async def test_echo_of_nothing_streams_an_end() -> None:
    async with server(echo=True) as echo:
        answer = await ask(echo.port, CHAT, {"stream": True, "messages": []})
    assert [event["choices"][0]["finish_reason"] for event in answer.events] == ["stop"]


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"max_tokens": "3"}', b'{"prompt": "\xff"}']
)
async def test_body_that_is_no_request_gets_400(body: bytes) -> None:
    async with server() as echo:
        assert (await ask(echo.port, CHAT, body)).status == 400


async def test_errors_come_as_often_as_was_asked(any_loop: str) -> None:
    settings = {"error_rate": 0.25, "error_status": 429, "seed": 5}
    found = []
    for _ in range(2):
        async with server(**settings) as echo, connected(echo.port) as (reader, writer):
            writer.write(request(CHAT) * 400)
            answers = [await read_answer(reader) for _ in range(400)]
        assert {answer.status for answer in answers} == {200, 429}
        found.append([answer.status for answer in answers])
    assert found[0] == found[1]
    assert found[0].count(429) == pytest.approx(100, abs=25)


async def test_places_are_given_in_the_order_of_coming(any_loop: str) -> None:
    settings = {"max_concurrency": 1, "ttft": Delay(mean=0.02)}
    order: list[int] = []

    async def one(number: int, port: int) -> None:
        await ask(port, CHAT)
        order.append(number)

    async with server(**settings) as echo:
        start = time.monotonic()
        asking = []
        for number in range(5):
            asking.append(asyncio.create_task(one(number, echo.port)))
            await until(lambda: echo.num_requests == len(asking))
        await asyncio.gather(*asking)
        assert time.monotonic() - start >= 0.1
    assert order == list(range(5))


async def test_client_that_goes_leaves_its_place(any_loop: str) -> None:
    settings = {"max_concurrency": 1, "tpot": Delay(mean=3600.0)}
    async with server(**settings) as echo:
        async with connected(echo.port) as (reader, writer):
            writer.write(request(CHAT, {"stream": True}))
            await reader.readuntil(b"\r\n\r\n")
            # This one waits, and goes before its turn.
            async with connected(echo.port) as (_, waiting):
                waiting.write(request(CHAT))
                await until(lambda: echo.num_requests == 2)
        assert (await ask(echo.port, CHAT, {"max_tokens": 1})).status == 200


async def test_many_pipelined_requests_are_all_answered(any_loop: str) -> None:
    settings = {"output_length": 1, "ttft": Delay(mean=0.0001)}
    async with server(**settings) as echo, connected(echo.port) as (reader, writer):
        writer.write(request(CHAT) * 300)
        for _ in range(300):
            assert (await read_answer(reader)).status == 200
