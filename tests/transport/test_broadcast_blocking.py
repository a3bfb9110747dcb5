"""Broadcast queues without a loop: every call does what is to be done."""

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import ModuleType
from typing import Any

import pytest
from tests.transport.broadcasting import ITEM
from tests.transport.waiting import turn_until

from busduct.errors import (
    ClosedError,
    ConfigError,
    FullError,
    HandshakeError,
    LocalProtocolError,
    PeerLostError,
    WaitTimeoutError,
)
from busduct.transport import BroadcastQueue, BroadcastReader


@contextmanager
def joined(
    backend: ModuleType, num_readers: int, **options: Any
) -> Iterator[tuple[BroadcastQueue[Any], list[BroadcastReader[bytes]]]]:
    """Give a queue and its readers, all of one context."""
    with (
        backend.Context() as ctx,
        BroadcastQueue(num_readers, context=ctx, linger=0.1, **options) as queue,
        ExitStack() as stack,
    ):
        limit = options.get("hwm_messages", 1000)
        readers = [
            stack.enter_context(
                BroadcastReader(queue.handle, rank, context=ctx, hwm_messages=limit)
            )
            for rank in range(num_readers)
        ]

        def all_are_there() -> bool:
            states = [rank.state for rank in queue.statistics().ranks]
            for reader in readers:
                reader.recv_nowait()
            return bool(queue.lost_readers) or states == ["joined"] * num_readers

        turn_until(ctx, all_are_there)
        yield queue, readers


def fill(queue: BroadcastQueue[Any]) -> int:
    """Send until there is no room; return how many were sent."""
    num_sent = 0
    num_refused = 0
    # What is under way makes room, however little time the machine gives for it.
    while num_refused < 100:
        try:
            queue.send_blocking(ITEM, timeout=0.0)
        except WaitTimeoutError:
            num_refused += 1
        else:
            num_sent += 1
            num_refused = 0
    return num_sent


def test_readers_get_every_item_in_order(backend: ModuleType) -> None:
    with joined(backend, 3) as (queue, readers):
        queue.wait_ready_blocking(30.0)
        for number in range(100):
            queue.send_blocking(b"%d" % number)
        for reader in readers:
            got = [reader.recv_blocking(30.0) for _ in range(50)]
            while len(got) < 100:
                got += reader.recv_many_blocking(7, timeout=30.0)
            assert got == [b"%d" % number for number in range(100)]
        queue.close()
        for reader in readers:
            assert list(reader) == []
            with pytest.raises(ClosedError):
                reader.recv_blocking()


def test_items_go_out_though_nobody_turns_the_writer(backend: ModuleType) -> None:
    with (
        backend.Context() as theirs,
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx) as queue,
        BroadcastReader(queue.handle, context=theirs) as reader,
    ):
        with pytest.raises(WaitTimeoutError):
            reader.wait_ready_blocking(0.01)
        with pytest.raises(WaitTimeoutError):
            queue.wait_ready_blocking(0.01)
        for _ in range(20):
            with pytest.raises(WaitTimeoutError):
                reader.recv_blocking(0.0)
            try:
                queue.wait_ready_blocking(0.01)
            except WaitTimeoutError:
                continue
            break
        queue.send_blocking(b"one")
        queue.send_nowait(b"two")
        assert reader.recv_blocking(30.0) == b"one"
        assert reader.recv_blocking(30.0) == b"two"
        assert reader.recv_nowait() is None


def test_full_queue_makes_a_send_time_out(backend: ModuleType) -> None:
    with joined(backend, 1, hwm_messages=2) as (queue, [reader]):
        num_sent = fill(queue)
        with pytest.raises(FullError):
            queue.send_nowait(ITEM)
        with pytest.raises(WaitTimeoutError):
            queue.send_blocking(bytearray(ITEM), timeout=0.0)
        assert queue.statistics().num_sent == num_sent
        assert queue.statistics().ranks[0].is_full
        assert [reader.recv_blocking(30.0) for _ in range(num_sent)] == [
            ITEM
        ] * num_sent
        queue.send_blocking(memoryview(b"room"), timeout=30.0)
        assert reader.recv_blocking(30.0) == b"room"


def test_receive_times_out(backend: ModuleType) -> None:
    with joined(backend, 1) as (queue, [reader]):
        started = time.monotonic()
        with pytest.raises(WaitTimeoutError):
            reader.recv_blocking(0.05)
        assert 0.05 <= time.monotonic() - started < 5.0
        with pytest.raises(WaitTimeoutError):
            reader.recv_many_blocking(timeout=0.0)
        for call in (reader.recv_blocking, queue.wait_ready_blocking):
            with pytest.raises(ConfigError, match="timeout is -1"):
                call(timeout=-1.0)


def test_send_before_all_have_joined_times_out(backend: ModuleType) -> None:
    with backend.Context() as ctx, BroadcastQueue(1, context=ctx) as queue:
        with pytest.raises(WaitTimeoutError):
            queue.send_blocking(b"x", timeout=0.01)
        with pytest.raises(WaitTimeoutError):
            queue.wait_ready_blocking(0.0)
        with pytest.raises(LocalProtocolError, match="rank 0 of"):
            queue.send_nowait(b"x")


def test_readers_that_leave_are_found_out_amid_a_stream(backend: ModuleType) -> None:
    with joined(backend, 2, on_reader_lost="error") as (queue, readers):
        readers[1].close()
        with suppress(PeerLostError):
            for _ in range(10**6):
                queue.send_blocking(b"x", timeout=30.0)
                readers[0].recv_nowait()
        assert queue.lost_readers == [1]
        with pytest.raises(PeerLostError, match="rank 1"):
            queue.send_nowait(b"x")


def test_send_that_blocks_goes_on_without_the_reader_that_left(
    backend: ModuleType,
) -> None:
    with joined(backend, 2, hwm_messages=1) as (queue, readers):
        fill(queue)
        readers[0].close()
        with pytest.raises(WaitTimeoutError):
            queue.send_blocking(b"x", timeout=0.05)
        turn_until(queue._context, lambda: queue.lost_readers)
        assert queue.lost_readers == [0]
        readers[1].close()
        with pytest.raises(PeerLostError, match="rank 0, 1"):
            queue.send_blocking(b"x", timeout=30.0)


def test_second_reader_of_a_rank_is_refused(backend: ModuleType) -> None:
    with (
        backend.Context() as ctx,
        BroadcastQueue(2, context=ctx) as queue,
        BroadcastReader(queue.handle, 0, context=ctx),
        BroadcastReader(queue.handle, 0, context=ctx) as second,
    ):
        with pytest.raises(WaitTimeoutError):
            queue.wait_ready_blocking(0.1)
        with pytest.raises(HandshakeError, match="rank 0 has joined already"):
            second.recv_blocking(30.0)
        with pytest.raises(HandshakeError):
            second.recv_nowait()


def test_late_reader_is_refused_though_the_writer_is_away(backend: ModuleType) -> None:
    with (
        joined(backend, 1) as (queue, _),
        backend.Context() as theirs,
        BroadcastReader(queue.handle, context=theirs) as late,
        pytest.raises(HandshakeError, match="nobody listens there"),
    ):
        late.recv_blocking(30.0)


def test_iterating_ends_with_the_writer(backend: ModuleType) -> None:
    with joined(backend, 1) as (queue, [reader]):
        queue.send_blocking(b"a")
        queue.send_blocking(b"b")
        queue.close()
        assert list(reader) == [b"a", b"b"]


def test_wait_is_told_of_at_doubling_intervals(
    backend: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    with joined(backend, 1, hwm_messages=1, warn_after=0.02) as (queue, _):
        fill(queue)
        caplog.clear()
        with pytest.raises(WaitTimeoutError):
            queue.send_blocking(ITEM, timeout=2.0)
        told = [record.args[1] for record in caplog.records]
        assert "for room at rank 0 (" in caplog.text
        assert len(told) >= 2
        assert told[0] >= 0.02
        assert all(later >= 2 * sooner for sooner, later in itertools.pairwise(told))


def test_context_with_a_thread_serves_both_ends(backend: ModuleType) -> None:
    with (
        backend.Context(io_thread=True) as ctx,
        backend.Context(io_thread=True) as theirs,
        BroadcastQueue(1, context=ctx, hwm_messages=4) as queue,
        BroadcastReader(queue.handle, context=theirs, hwm_messages=4) as reader,
    ):
        received: list[bytes] = []
        reading = threading.Thread(target=lambda: received.extend(reader))
        reading.start()
        queue.wait_ready_blocking(30.0)
        for number in range(500):
            queue.send_blocking(b"%d" % number, timeout=30.0)
        queue.close()
        reading.join(30.0)
        assert received == [b"%d" % number for number in range(500)]
