"""The load generator on a client that answers as it is told to."""

import asyncio
import time
from collections.abc import Iterator
from itertools import islice, repeat

import pytest
from tests.endpoint.echo.asking import until
from tests.endpoint.load.stand_in import StandInClient, succeed_after

from busduct._alarm import Alarm
from busduct.endpoint.load._arrivals import arrival_offsets
from busduct.endpoint.load._generator import LoadGenerator
from busduct.errors import ClosedError, EngineDeadError, FullError
from busduct.messages import ErrorData, Query, QueryResult

pytestmark = pytest.mark.usefixtures("no_leaks")

MS = 1_000_000


def query(number: int) -> Query:
    return Query(id=str(number))


def constant(rate: float, count: int) -> Iterator[int | None]:
    return islice(arrival_offsets(rate, "constant", 0), count)


async def test_closed_loop_keeps_the_places_filled(any_loop: str) -> None:
    client = StandInClient(succeed_after(0.001))
    generator = LoadGenerator(client, query, repeat(None, 100), max_in_flight=7)
    await generator.run()
    assert client.most_in_flight == 7
    assert [item.id for item in client.issued] == [str(n) for n in range(100)]
    assert generator.measured.num_completed == 100
    # Nothing was due before it had a place.
    assert generator.measured.send_lag.percentile_ms(100) == pytest.approx(0, abs=5)


async def test_open_loop_sends_by_the_clock_whatever_comes(any_loop: str) -> None:
    def answer_at_last(sent: Query) -> list[tuple[float, QueryResult]]:
        """Answer none before all are sent."""
        ids = map(str, range(80 if sent.id == "79" else 0))
        return [(0.001, QueryResult(id=each)) for each in ids]

    client = StandInClient(answer_at_last)  # type: ignore[arg-type]
    generator = LoadGenerator(client, query, constant(400, 80))
    await generator.run()
    assert client.most_in_flight == 80
    assert generator.measured.last_sent_ns - generator.measured.start_ns >= 197 * MS


async def test_stall_of_the_sender_counts_as_latency(any_loop: str) -> None:
    """Queries that were due while nothing could be sent are late, each by its own."""

    def stall(sent: Query) -> list[tuple[float, QueryResult]]:
        if sent.id == "0":
            time.sleep(0.2)
        return [(0, QueryResult(id=sent.id))]

    client = StandInClient(stall)  # type: ignore[arg-type]
    generator = LoadGenerator(client, query, constant(1000, 200))
    await generator.run()
    found = generator.measured.latency.distribution()
    assert found is not None
    # Those due in 200 ms waited for the rest of it: 100 ms on the average. Measured
    # from when they were sent, all but the first would be near zero.
    assert found.count == 200
    assert found.p50 >= 95
    assert found.mean >= 95


async def test_places_hold_up_what_is_due_and_the_wait_counts(any_loop: str) -> None:
    client = StandInClient(succeed_after(0.01))
    generator = LoadGenerator(client, query, constant(1000, 20), max_in_flight=1)
    await generator.run()
    assert client.most_in_flight == 1
    found = generator.measured.latency.distribution()
    assert found is not None
    # The last was due at 19 ms, and is the twentieth of 10 ms each; timers of a loop
    # may be a millisecond early.
    assert found.max >= 20 * 9 - 19


async def test_duration_ends_an_open_loop(any_loop: str) -> None:
    client = StandInClient(succeed_after(0.0))
    offsets = arrival_offsets(100, "constant", 0)
    generator = LoadGenerator(client, query, offsets, duration_ns=95 * MS)
    await generator.run()
    # At 0, 10, ..., 90 ms, however late they could be sent.
    assert len(client.issued) == 10


async def test_duration_ends_a_closed_loop(any_loop: str) -> None:
    client = StandInClient(succeed_after(0.005))
    generator = LoadGenerator(
        client, query, repeat(None), max_in_flight=2, duration_ns=50 * MS
    )
    await generator.run()
    measured = generator.measured
    assert measured.last_sent_ns - measured.start_ns < 50 * MS
    assert measured.num_completed == measured.num_issued
    assert 2 <= measured.num_issued <= 2 * 50 / 4 + 2


async def test_stop_ends_at_once(any_loop: str) -> None:
    client = StandInClient(succeed_after(3600))
    generator = LoadGenerator(client, query, constant(1000, 10**6))
    running = asyncio.create_task(generator.run())
    await until(lambda: len(client.issued) >= 5)
    generator.stop()
    await running
    assert generator.measured.num_in_flight == len(client.issued)
    generator.stop()


async def test_stop_before_the_start_sends_nothing(any_loop: str) -> None:
    client = StandInClient(succeed_after(0))
    generator = LoadGenerator(client, query, repeat(None))
    generator.stop()
    await generator.run()
    assert client.issued == []


async def test_failed_queries_make_room_too(any_loop: str) -> None:
    error = ErrorData(error_type="timeout")
    client = StandInClient(lambda sent: [(0, QueryResult(id=sent.id, error=error))])
    generator = LoadGenerator(client, query, repeat(None, 50), max_in_flight=2)
    await generator.run()
    assert generator.measured.errors == {"timeout": 50}


async def test_full_client_holds_up_and_loses_nothing(any_loop: str) -> None:
    client = StandInClient(succeed_after(0.001), max_queued=3)
    generator = LoadGenerator(client, query, repeat(None, 50), max_in_flight=10)
    await generator.run()
    assert client.most_in_flight == 3
    assert generator.measured.num_completed == 50


async def test_client_that_takes_nothing_ends_the_run(any_loop: str) -> None:
    client = StandInClient(succeed_after(0), max_queued=0)
    with pytest.raises(FullError):
        await LoadGenerator(client, query, repeat(None, 5)).run()


async def test_client_that_fails_ends_the_run(any_loop: str) -> None:
    def die(_: Query) -> list[tuple[float, QueryResult]]:
        raise EngineDeadError("client", "too many restarts")

    client = StandInClient(die)  # type: ignore[arg-type]
    with pytest.raises(EngineDeadError):
        await LoadGenerator(client, query, repeat(None, 5), max_in_flight=1).run()


async def test_client_that_closes_ends_the_run(any_loop: str) -> None:
    client = StandInClient(succeed_after(3600))
    generator = LoadGenerator(client, query, repeat(None, 5))
    running = asyncio.create_task(generator.run())
    await until(lambda: len(client.issued) == 5)
    client.close()
    with pytest.raises(ClosedError):
        await running


async def test_no_queries_at_all_end_at_once(any_loop: str) -> None:
    generator = LoadGenerator(StandInClient(succeed_after(0)), query, repeat(None, 0))
    await generator.run()
    assert generator.measured.num_issued == 0


async def test_alarm_is_never_early_and_finer_than_a_millisecond(any_loop: str) -> None:
    rung: asyncio.Queue[int] = asyncio.Queue()
    alarm = Alarm(lambda: rung.put_nowait(time.monotonic_ns()))
    late: list[int] = []
    # The loops' own timers round to a millisecond: none would come within half of it.
    # Where the machine is busy many of ours do not, either.
    while len(late) < 50 or min(late) >= 500_000:
        when = time.monotonic_ns() + 300_000
        alarm.set(when)
        late.append(await rung.get() - when)
    assert min(late) >= 0
    alarm.set(time.monotonic_ns() + 10**12)
    when = time.monotonic_ns() + MS
    alarm.set(when)
    assert await rung.get() >= when
    alarm.close()
    alarm.close()
    assert rung.empty()
