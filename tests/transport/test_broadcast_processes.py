"""Broadcast queues between processes, of which any may be killed."""

import asyncio
import signal
import time
from contextlib import ExitStack
from types import ModuleType

import pytest
from tests.transport.broadcast_ends import item, process, said, tell
from tests.transport.broadcasting import new_context, until_lost
from tests.transport.waiting import eventually

from busduct.errors import PeerLostError
from busduct.transport import BroadcastHandle, BroadcastQueue, BroadcastReader

# What wakes nobody is noticed after many seconds, if at all. A machine that holds up
# whoever is woken does not do so every time: one try in several is in time.
PROMPTLY_SECONDS = 2.0
PATIENCE_SECONDS = 30.0


@pytest.fixture(params=["auto", "off"])
def shm(request: pytest.FixtureRequest, backend: ModuleType) -> str:
    """Let contexts use shared memory, and not; which is the same in pure Python."""
    if backend.BACKEND == "python" and request.param == "auto":
        pytest.skip("pure Python has no shared memory")
    return str(request.param)


@pytest.mark.parametrize(
    ("num_items", "nbytes"),
    [
        pytest.param(3000, 1024, id="1KiB"),
        pytest.param(60, 1 << 20, id="1MiB"),
    ],
)
@pytest.mark.parametrize("face", ["read", "read_async"])
def test_three_processes_get_all_in_order(
    backend: ModuleType, shm: str, face: str, num_items: int, nbytes: int
) -> None:
    with (
        new_context(backend, shm) as ctx,
        BroadcastQueue(3, context=ctx) as queue,
        ExitStack() as stack,
    ):
        readers = [
            stack.enter_context(process(backend, face, queue.handle, rank, nbytes, shm))
            for rank in range(3)
        ]
        queue.wait_ready_blocking(30.0)
        for number in range(num_items):
            queue.send_blocking(item(number, nbytes), 30.0)
        queue.close()
        for reader in readers:
            assert said(reader) == "joined"
            assert said(reader)[:2] == [num_items, "closed"]


async def test_loop_serves_three_processes(
    backend: ModuleType, shm: str, any_loop: str
) -> None:
    async with (
        new_context(backend, shm) as ctx,
        BroadcastQueue(3, context=ctx) as queue,
    ):
        with ExitStack() as stack:
            readers = [
                stack.enter_context(
                    process(backend, "read", queue.handle, rank, 65536, shm)
                )
                for rank in range(3)
            ]
            await queue.wait_ready(30.0)
            for number in range(300):
                await queue.send(item(number, 65536))
            await queue.aclose()
            # NB: the loop goes on, for it is the context's that sends what is queued.
            for reader in readers:
                assert await asyncio.to_thread(said, reader) == "joined"
                end = await asyncio.to_thread(said, reader)
                assert end[:2] == [300, "closed"]


def test_reader_that_is_killed_is_dropped_and_named(
    backend: ModuleType, shm: str
) -> None:
    with (
        new_context(backend, shm) as ctx,
        BroadcastQueue(3, context=ctx, hwm_messages=8) as queue,
        process(backend, "read", queue.handle, 0, 65536, shm) as first,
        process(backend, "stall", queue.handle, 1, shm) as stalled,
        process(backend, "read", queue.handle, 2, 65536, shm) as last,
    ):
        queue.wait_ready_blocking(30.0)
        num_sent = 0
        full: list[int] = []
        deadline = time.monotonic() + PATIENCE_SECONDS
        # Those that read may be full as well, while the machine holds them up.
        while full != [1]:
            assert time.monotonic() < deadline, f"rank {full} holds the writer back"
            try:
                queue.send_blocking(item(num_sent, 65536), 0.2)
                num_sent += 1
            except TimeoutError:
                ranks = queue.statistics().ranks
                full = [rank.rank for rank in ranks if rank.is_full]
        stalled.send_signal(signal.SIGKILL)
        for _ in range(100):
            queue.send_blocking(item(num_sent, 65536), PATIENCE_SECONDS)
            num_sent += 1
        assert queue.lost_readers == [1]
        queue.close()
        for reader in (first, last):
            assert said(reader) == "joined"
            assert said(reader)[:2] == [num_sent, "closed"]


async def test_loss_of_a_reader_is_noticed_by_a_writer_that_is_idle(
    backend: ModuleType, shm: str, any_loop: str
) -> None:
    async with (
        new_context(backend, shm) as ctx,
        BroadcastQueue(4, context=ctx) as queue,
    ):
        with ExitStack() as stack:
            readers = [
                stack.enter_context(process(backend, "stall", queue.handle, rank, shm))
                for rank in range(4)
            ]
            await queue.wait_ready(30.0)
            lost, taken = queue._audience.roster.lost, []
            for num_lost, reader in enumerate(readers, start=1):
                reader.kill()
                killed_at = time.monotonic()
                await eventually(lambda n=num_lost: len(lost) == n)
                taken.append(time.monotonic() - killed_at)
            assert min(taken) < PROMPTLY_SECONDS
            with pytest.raises(PeerLostError, match="rank 0, 1, 2, 3"):
                await queue.send(b"x")


@pytest.mark.parametrize("hwm_messages", [2, 1000])
async def test_readers_take_what_came_before_the_writer_was_killed(
    backend: ModuleType, shm: str, any_loop: str, hwm_messages: int
) -> None:
    with process(backend, "write", 3, 100, 1024, shm) as writer:
        handle = BroadcastHandle.parse(said(writer))
        async with new_context(backend, shm) as ctx:
            readers = [
                BroadcastReader(handle, rank, context=ctx, hwm_messages=hwm_messages)
                for rank in range(3)
            ]
            first = await asyncio.gather(*(reader.recv() for reader in readers))
            assert first == [item(0, 1024)] * 3
            assert said(writer) == "sent"
            # Two wait for the next item when it dies, one looks later.
            waiting = [asyncio.ensure_future(until_lost(r)) for r in readers[:2]]
            await asyncio.sleep(0)
            tell(writer)
            assert isinstance(said(writer), float)
            writer.wait()
            async with asyncio.timeout(PATIENCE_SECONDS):
                taken = await asyncio.gather(*waiting)
            taken.append(await until_lost(readers[2]))
            expected = [item(number, 1024) for number in range(1, 100)]
            assert taken == [expected] * 3
            for reader in readers:
                await reader.aclose()


@pytest.mark.parametrize("face", ["read", "read_async"])
def test_processes_that_wait_hear_of_the_death_of_the_writer(
    backend: ModuleType, shm: str, face: str
) -> None:
    with process(backend, "write", 3, 10, 1024, shm) as writer, ExitStack() as stack:
        handle = said(writer)
        readers = [
            stack.enter_context(process(backend, face, handle, rank, 1024, shm))
            for rank in range(3)
        ]
        assert [said(reader) for reader in readers] == ["joined"] * 3
        assert said(writer) == "sent"
        tell(writer)
        killed_at = said(writer)
        taken = []
        for reader in readers:
            num_received, end, ended_at = said(reader)
            assert (num_received, end) == (10, "PeerLostError")
            taken.append(ended_at - killed_at)
        assert min(taken) < PROMPTLY_SECONDS


def test_death_amid_a_stream_tears_no_item(backend: ModuleType, shm: str) -> None:
    with process(backend, "die_writing", 2, 300, 200_000, shm) as writer:
        handle = said(writer)
        with (
            process(backend, "read", handle, 0, 200_000, shm) as first,
            process(backend, "read", handle, 1, 200_000, shm) as second,
        ):
            for reader in (first, second):
                assert said(reader) == "joined"
                num_received, end, _ = said(reader)
                assert end == "PeerLostError"
                assert 0 < num_received <= 300
        assert writer.wait() == -signal.SIGKILL
