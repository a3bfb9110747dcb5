"""Load over HTTP: the client and its worker processes, against an echo server."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import trustme

from busduct.endpoint.echo import Delay, EchoConfig, EchoServer
from busduct.endpoint.load import (
    Lengths,
    LoadConfig,
    LoadReport,
    LoadRun,
    Progress,
)

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
    # Chunks may come together where the machine is busy, but never early, and not after
    # the end.
    last = report.ttft.mean + 5 * report.itl.mean
    # NB: the mean of the sums and the sum of the means may differ in their last bits.
    assert 50 <= last <= report.latency.mean + 1e-6
    assert report.tpot.mean == pytest.approx(report.itl.mean, rel=1e-3)


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
    config = EchoConfig(mode="variable", ttft=Delay(mean=2.0), num_processes=1)
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
    steps = report.steps
    last_sent = max(step for step, count in enumerate(steps.issued) if count)
    first_answered = next(step for step, count in enumerate(steps.completed) if count)
    assert last_sent < first_answered


async def test_requests_that_take_too_long_have_failed() -> None:
    config = EchoConfig(mode="variable", ttft=Delay(mean=3600.0), num_processes=1)
    async with EchoServer(config) as echo:
        report = await load(echo, num_requests=4, timeout=0.2)
    assert report.requests.errors == {"timeout": 4}


async def test_endpoint_that_dies_ends_no_run() -> None:
    config = EchoConfig(mode="variable", ttft=Delay(mean=0.01), num_processes=1)
    has_died = False

    def look(progress: Progress) -> None:
        """Kill the endpoint once it has answered, and end when that has shown."""
        nonlocal has_died
        if progress.num_completed and not has_died:
            has_died = True
            os.kill(echo.pids[0], signal.SIGKILL)
        if progress.num_failed:
            run.stop()

    async with EchoServer(config) as echo:
        run = LoadRun(
            LoadConfig(
                url=echo.url,
                num_workers=1,
                num_connections=8,
                concurrency=8,
                duration=100.0,
                output_lengths=Lengths.fixed(1),
            ),
            on_progress=look,
            progress_interval=0.1,
        )
        report = await run.run()
    requests = report.requests
    ended = requests.completed + requests.failed
    assert ended + requests.unfinished == requests.issued
    assert requests.completed > 0
    assert requests.failed > 0
    assert set(requests.errors) <= {"connection", "truncated"}


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]
    authority.cert_pem.write_to_path(files[0])
    certificate.cert_chain_pems[0].write_to_path(files[1])
    certificate.private_key_pem.write_to_path(files[2])
    config = EchoConfig(
        num_processes=1, cert_file=str(files[1]), key_file=str(files[2])
    )
    async with EchoServer(config) as echo:
        for settings in ({"ca_file": str(files[0])}, {"insecure": True}):
            report = await load(echo, num_requests=20, **settings)
            assert report.requests.completed == 20
            assert report.settings.model == "echo"
        with pytest.raises(OSError, match="certificate verify failed"):
            await load(echo, num_requests=20)
        report = await load(echo, num_requests=20, model="named")
        assert report.requests.completed == 0
