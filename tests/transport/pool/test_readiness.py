"""Who is ready: a set of ids, of the present generation of each worker."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.transport.pool.conftest import Pool
from tests.transport.waiting import eventually, settle

from busduct.errors import WorkersNotReadyError
from busduct.transport import WorkerReadiness
from busduct.transport.pool._readiness import encode_ready
from busduct.transport.pool._ready_channel import ReadyChannel

NewPool = Callable[..., Pool]


class TestSet:
    def test_first_generation_says_an_integer(self) -> None:
        assert encode_ready(3, 0) == msgspec.msgpack.encode(3)
        assert encode_ready(3, 2) == msgspec.msgpack.encode([3, 2])

    def test_duplicate_and_unknown_do_not_count(self) -> None:
        readiness = WorkerReadiness(3)
        for said in (1, 1, 3, -1, [1, 0], [0, 1], [0, -1], [7, 0]):
            readiness.note(msgspec.msgpack.encode(said))
        assert readiness.ready == {1}
        assert readiness.missing == (0, 2)
        assert readiness.num_duplicates == 2
        assert readiness.num_unknown == 5
        assert not readiness.is_complete

    def test_late_word_of_a_worker_that_was_renewed_does_not_count(self) -> None:
        readiness = WorkerReadiness(1)
        readiness.renew(0)
        readiness.note(encode_ready(0, 0))
        assert (readiness.ready, readiness.num_stale) == (frozenset(), 1)
        readiness.note(encode_ready(0, 1))
        assert readiness.is_complete
        readiness.renew(0)
        assert not readiness.is_ready(0)
        assert readiness.generations == (2,)

    @given(st.binary(max_size=40))
    def test_anything_may_be_said(self, payload: bytes) -> None:
        readiness = WorkerReadiness(1)
        readiness.note(payload)
        counts = (
            len(readiness.ready),
            readiness.num_unknown,
            readiness.num_malformed,
            readiness.num_stale,
        )
        assert sum(counts) == 1

    def test_nesting_without_end_is_malformed(self) -> None:
        readiness = WorkerReadiness(1)
        readiness.note(b"\x91" * 100_000)
        assert readiness.num_malformed == 1


class TestWaiting:
    async def test_wait_that_timed_out_tells_who_is_missing_and_is_resumed(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool(4)
        connector = pool.worker_connector
        async with connector.connect(0), connector.connect(2):
            await pool.wait_worker_ready(0)
            await pool.wait_worker_ready(2)
            for timeout in (0, 0.01):
                with pytest.raises(WorkersNotReadyError) as caught:
                    await pool.wait_for_workers_ready(timeout)
                assert str(caught.value) == (
                    f"2/4 workers ready after {timeout} s; missing 1, 3"
                )
                assert isinstance(caught.value, TimeoutError)
                assert caught.value.missing == (1, 3)
            assert pool.ready_workers == {0, 2}
            async with connector.connect(1), connector.connect(3):
                await pool.wait_for_workers_ready(20.0)
            assert pool.ready_workers == {0, 1, 2, 3}
            await pool.wait_for_workers_ready(0)

    async def test_pool_is_told_whatever_the_linger_is(self, new_pool: NewPool) -> None:
        pool = new_pool(linger=0)
        async with pool.worker_connector.connect(0):
            await pool.wait_for_workers_ready(20.0)

    async def test_same_worker_twice_is_one(self, new_pool: NewPool) -> None:
        pool = new_pool(2)
        connector = pool.worker_connector
        async with connector.connect(0), connector.connect(0):
            await eventually(lambda: pool.stats().num_duplicate_ready)
            assert pool.ready_workers == {0}

    async def test_several_may_wait_and_each_is_let_go_by_its_own(
        self, new_pool: NewPool
    ) -> None:
        pool = new_pool(2)
        all_ready = [
            asyncio.create_task(pool.wait_for_workers_ready()) for _ in range(3)
        ]
        first, second = (
            asyncio.create_task(pool.wait_worker_ready(each)) for each in range(2)
        )
        await settle()
        all_ready.pop(0).cancel()
        async with pool.worker_connector.connect(1):
            await second
            assert not first.done()
            assert not any(task.done() for task in all_ready)
            async with pool.worker_connector.connect(0):
                await asyncio.gather(first, *all_ready)

    async def test_wait_that_ends_as_the_last_one_is_ready_has_not_failed(
        self,
    ) -> None:
        class Silent:
            """Hears of the worker when nobody listens any more."""

            closed = readable = False

            async def wait_readable(self) -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    channel.readiness.note(encode_ready(0, 0))

        channel = ReadyChannel(Silent(), 1)  # type: ignore[arg-type]
        await channel.wait_all(0.01)
