"""Runs, reports, plots and sweeps, on a client that answers as it is told to."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.endpoint.echo.asking import until
from tests.endpoint.load.runs import Clients, config, report_of, stream, sweep
from tests.endpoint.load.stand_in import succeed_after

from busduct.endpoint.echo import EchoConfig, EchoServer
from busduct.endpoint.load import (
    LoadConfig,
    LoadReport,
    LoadRun,
    Progress,
    SweepReport,
)
from busduct.endpoint.load._model_name import ask_model_name
from busduct.errors import ConfigError

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_report_adds_up(any_loop: str) -> None:
    report = await report_of()
    requests = report.requests
    assert (requests.issued, requests.completed, requests.failed) == (50, 45, 5)
    assert requests.errors == {"http 503": 5}
    assert requests.error_texts == {"http 503": "busy"}
    assert requests.unfinished == 0
    assert not report.interrupted
    assert report.tokens.output == 45 * 4
    assert report.tokens.input == 45 * 10
    assert report.tokens.counted_by == "usage"
    assert report.throughput.requests == pytest.approx(45 / report.seconds)
    assert report.throughput.output_tokens == pytest.approx(180 / report.seconds)
    for found, count in (
        (report.latency, 45),
        (report.ttft, 45),
        (report.tpot, 45),
        (report.itl, 45 * 3),
        (report.send_lag, 50),
        (report.delivery_lag, 45),
    ):
        assert found is not None
        assert found.count == count
        assert found.min <= found.p50 <= found.p90 <= found.p99 <= found.max
    assert sum(report.steps.issued) == 50
    assert sum(report.steps.completed) == 45
    assert sum(report.steps.failed) == 5
    assert sum(report.steps.output_tokens) == 180
    assert len(report.steps.ttft_samples) == 45


async def test_report_survives_json_and_has_every_field_documented() -> None:
    report = await report_of(rate=1000.0)
    data = report.to_json()
    assert msgspec.json.decode(data, type=LoadReport) == report
    fields = msgspec.json.decode(data)
    assert fields["format"] == "busduct.load/1"
    assert fields["settings"]["arrival"] == "poisson"
    assert "api_key" not in fields["settings"]

    def told(kind: type) -> None:
        assert kind.__doc__ is not None
        for field in msgspec.structs.fields(kind):
            documented = f"{field.name}:" in kind.__doc__
            assert documented or kind.__name__ == "LoadSettings", field.name
            if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
                told(field.type)

    told(LoadReport)


async def test_report_of_answers_in_one_piece_has_no_token_times() -> None:
    run = LoadRun(config(stream=False), create_client=Clients(succeed_after(0.001)))
    report = await run.run()
    assert report.ttft is report.tpot is report.itl is None
    assert report.tokens.counted_by == "nothing"
    assert report.latency is not None
    assert report.latency.count == 50


async def test_warmup_counts_for_nothing_and_sends_other_prompts(any_loop: str) -> None:
    clients = Clients(stream)
    report = await LoadRun(config(num_warmup=20), create_client=clients).run()
    assert report.requests.issued == 50
    (client,) = clients.made
    prompts = [query.data["prompt"] for query in client.issued]
    assert len(set(prompts)) == len(prompts) == 70
    assert [query.id for query in client.issued[:20]] == [
        f"warmup-{number}" for number in range(20)
    ]


async def test_client_gets_what_was_asked_for() -> None:
    clients = Clients(stream)
    settings = {
        "num_workers": 3,
        "num_connections": 12,
        "timeout": 7.0,
        "api": "sglang",
    }
    await LoadRun(config(api_key="k", **settings), create_client=clients).run()
    (found,) = clients.configs
    assert found.endpoint_urls == ("http://localhost:1/generate",)
    assert (found.num_workers, found.max_connections) == (3, 12)
    assert (found.request_timeout, found.api_key) == (7.0, "k")
    assert found.stream_all_chunks


async def test_progress_is_told(any_loop: str) -> None:
    seen: list[Progress] = []
    run = LoadRun(
        config(num_requests=200),
        create_client=Clients(stream),
        on_progress=seen.append,
        progress_interval=0.02,
    )
    await run.run()
    assert len(seen) >= 3
    counts = [progress.num_completed for progress in seen]
    assert counts == sorted(counts)
    last = seen[-1]
    assert 0 < last.num_completed <= 180
    assert last.num_in_flight <= 10
    assert last.num_failed + last.num_completed + last.num_in_flight == last.num_issued
    assert last.ttft_p50 is not None
    assert last.ttft_p50 >= 1
    total = sum(
        progress.requests_per_second * (progress.seconds - before)
        for before, progress in zip(
            [0.0, *(p.seconds for p in seen)], seen, strict=False
        )
    )
    assert total == pytest.approx(last.num_completed, rel=1e-6)


async def test_stop_gives_a_report_of_what_was_measured(any_loop: str) -> None:
    clients = Clients(stream)
    run = LoadRun(config(num_requests=10**6, rate=500.0), create_client=clients)
    running = asyncio.create_task(run.run())
    await until(lambda: bool(clients.made) and len(clients.made[0].issued) >= 50)
    run.stop()
    report = await running
    assert report.interrupted
    requests = report.requests
    assert requests.issued >= 50
    assert requests.issued == (
        requests.completed + requests.failed + requests.unfinished
    )


async def test_stop_within_the_warmup_measures_nothing(any_loop: str) -> None:
    clients = Clients(succeed_after(3600))
    run = LoadRun(config(num_warmup=5), create_client=clients)
    running = asyncio.create_task(run.run())
    await until(lambda: bool(clients.made) and len(clients.made[0].issued) == 5)
    run.stop()
    report = await running
    assert report.interrupted
    assert report.requests.issued == 0


def test_wrong_url_and_dataset_are_told_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must begin with http"):
        LoadRun(LoadConfig(url="localhost:80", num_requests=1))
    with pytest.raises(ConfigError, match="No such file"):
        LoadRun(config(dataset=tmp_path / "none"))


async def test_model_is_asked_for_where_nobody_named_it(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text('{"prompt": "a", "model": "own"}')
    async with EchoServer(EchoConfig(model="served")) as echo:

        async def sent(**settings: Any) -> Any:
            clients = Clients(stream)
            given = LoadConfig(url=echo.url, num_requests=1, **settings)
            await LoadRun(given, create_client=clients).run()
            return clients.made[0].issued[0].data.get("model")

        assert await sent() == "served"
        assert await sent(api="openai_completions") == "served"
        assert await sent(model="other") == "other"
        assert await sent(dataset=path) == "own"
        assert await sent(api="sglang") is None
        for path_of_url, name in (("/v1", "served"), ("/own/path", None)):
            asked = LoadConfig(url=echo.url + path_of_url, num_requests=1)
            assert await ask_model_name(asked) == name


async def test_endpoint_that_is_not_there_is_told() -> None:
    # Bound, so that nobody else gets the port, and not listening.
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(OSError, match=f"cannot reach {url}: .*refused"):
            await LoadRun(LoadConfig(url=url, num_requests=1)).run()


async def test_sweep_runs_every_combination(any_loop: str) -> None:
    clients = Clients(stream)
    runs = sweep(clients, workers=[1, 2], input_lengths=[8, 16, 32])
    assert len(runs) == 6
    seen: list[int | None] = []
    runs.on_point = lambda point: seen.append(point.input_length)
    report = await runs.run()
    assert [(p.workers, p.connections, p.input_length) for p in report.points] == [
        (workers, None, length) for workers in (1, 2) for length in (8, 16, 32)
    ]
    assert seen == [8, 16, 32, 8, 16, 32]
    assert [found.num_workers for found in clients.configs] == [1, 1, 1, 2, 2, 2]
    words = [len(c.issued[0].data["prompt"].split()) for c in clients.made]
    assert words == [8, 16, 32, 8, 16, 32]
    assert msgspec.json.decode(report.to_json(), type=SweepReport) == report


async def test_sweep_can_be_stopped(any_loop: str) -> None:
    runs = sweep(Clients(stream), connections=[4, 8, 16])
    runs.on_point = lambda _: runs.stop()
    report = await runs.run()
    assert report.interrupted
    assert [point.connections for point in report.points] == [4]


def test_sweep_of_too_many_runs_is_told() -> None:
    numbers = list(range(1, 102))
    with pytest.raises(ConfigError, match="10201 runs exceed limit of 1000"):
        sweep(Clients(stream), workers=numbers, input_lengths=numbers)
