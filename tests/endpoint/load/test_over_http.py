"""Load over HTTP: the client and its worker processes, against an echo server."""

from typing import Any

import pytest

from busduct.endpoint.echo import Delay, EchoConfig, EchoServer
from busduct.endpoint.load import Lengths, LoadConfig, LoadReport, LoadRun

pytestmark = pytest.mark.usefixtures("no_leaks")


async def load(echo: EchoServer, **settings: Any) -> LoadReport:
    given = {"num_workers": 1, "num_connections": 8, "concurrency": 8, **settings}
    return await LoadRun(LoadConfig(url=echo.url, **given)).run()


@pytest.mark.parametrize("api", ["openai", "openai_completions", "sglang"])
@pytest.mark.parametrize("stream", [True, False])
async def test_every_api_is_measured(any_loop: str, api: Any, stream: bool) -> None:
    config = EchoConfig(
        mode="variable", ttft=Delay(mean=0.03), tpot=Delay(mean=0.004), num_processes=1
    )
    async with EchoServer(config) as echo:
        report = await load(
            echo,
            api=api,
            stream=stream,
            num_requests=24,
            num_warmup=8,
            output_lengths=Lengths.fixed(6),
        )
    assert report.requests.errors == {}
    assert report.requests.completed == 24
    assert report.tokens.counted_by == "usage"
    assert report.tokens.output == 24 * 6
    assert report.latency is not None
    # Nothing is faster than the server, which lets five tokens follow the first.
    assert report.latency.min >= 50
    if not stream:
        assert report.ttft is report.itl is report.tpot is None
        return
    assert report.ttft is not None
    assert report.itl is not None
    assert report.tpot is not None
    assert report.ttft.min >= 30
    assert report.ttft.count == report.tpot.count == 24
    assert report.itl.count == 24 * 5
    # The machine may be busy; most of the time it is not for so long.
    assert report.itl.p50 == pytest.approx(4, abs=3)
    assert report.tpot.p50 == pytest.approx(4, abs=3)


async def test_input_tokens_are_those_that_the_endpoint_counts() -> None:
    async with EchoServer(EchoConfig(num_processes=1)) as echo:
        report = await load(echo, num_requests=10)
    assert report.tokens.input == 10


async def test_errors_of_the_endpoint_are_counted() -> None:
    config = EchoConfig(
        mode="variable", error_rate=0.5, error_status=429, seed=3, num_processes=1
    )
    async with EchoServer(config) as echo:
        report = await load(echo, num_requests=60)
    assert set(report.requests.errors) == {"http 429"}
    assert report.requests.failed + report.requests.completed == 60
    assert 15 <= report.requests.failed <= 45
    assert "as was asked for" in report.requests.error_texts["http 429"]


async def test_open_loop_does_not_wait_for_answers() -> None:
    config = EchoConfig(mode="variable", ttft=Delay(mean=0.4), num_processes=1)
    async with EchoServer(config) as echo:
        report = await load(
            echo,
            rate=200.0,
            arrival="constant",
            num_requests=40,
            concurrency=None,
            num_connections=64,
            output_lengths=Lengths.fixed(1),
        )
    assert report.requests.completed == 40
    # All were sent within 200 ms, before the first was answered.
    assert report.seconds < 1.5
    assert sum(report.steps.completed[:4]) == 0


async def test_requests_that_take_too_long_have_failed() -> None:
    config = EchoConfig(mode="variable", ttft=Delay(mean=3600.0), num_processes=1)
    async with EchoServer(config) as echo:
        report = await load(echo, num_requests=4, timeout=0.2)
    assert report.requests.errors == {"timeout": 4}
