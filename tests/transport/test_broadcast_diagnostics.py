"""Who waits in a broadcast queue says so, and for whom."""

import asyncio
import itertools
import logging
from types import ModuleType

import pytest
from tests.transport.broadcasting import all_of, fill
from tests.transport.waiting import eventually

from busduct.errors import ConfigError
from busduct.transport import BroadcastQueue, BroadcastReader

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_writer_that_waits_says_for_whom(
    backend: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "busduct.broadcast")
    async with (
        backend.Context() as ctx,
        BroadcastQueue(
            3, context=ctx, hwm_messages=2, warn_after=0.02, linger=0.1
        ) as queue,
        BroadcastReader(queue.handle, 0, context=ctx) as quick,
        BroadcastReader(queue.handle, 1, context=ctx, hwm_messages=2) as slow,
    ):
        sending = asyncio.ensure_future(queue.send(b"x"))
        joining = asyncio.ensure_future(slow.wait_ready(30.0))
        receiving = asyncio.ensure_future(all_of(quick))
        await eventually(lambda: "s for rank 2 to join" in caplog.text)
        await joining
        async with BroadcastReader(queue.handle, 2, context=ctx) as last:
            other = asyncio.ensure_future(all_of(last))
            await sending
            _, sending = await fill(queue)
            # Of others and of other waits, where the machine was slow until now.
            caplog.clear()
            await eventually(lambda: caplog.text.count("for room at rank 1 (") >= 3)
            assert caplog.text.count("for room at") < 10
            assert "room at rank 0" not in caplog.text
            assert "rank 2 (" not in caplog.text
            waited = [
                record.args[1]
                for record in caplog.records
                if "for room at" in record.getMessage()
            ]
            assert all(b >= 2 * a for a, b in itertools.pairwise(waited))
            sending.cancel()
            await queue.aclose()
            await asyncio.gather(receiving, other, return_exceptions=True)


async def test_reader_that_waits_says_so(
    backend: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "busduct.broadcast")
    async with (
        backend.Context() as ctx,
        BroadcastQueue(1, context=ctx, warn_after=None) as queue,
        BroadcastReader(queue.handle, context=ctx, warn_after=0.01) as reader,
    ):
        receiving = asyncio.ensure_future(reader.recv())
        await queue.wait_ready(30.0)
        await eventually(lambda: "the reader of rank 0 of" in caplog.text)
        await eventually(lambda: caplog.text.count("for an item") >= 2)
        assert reader.statistics().waiting_seconds > 0.02
        await queue.send(b"x")
        assert await receiving == b"x"
        assert reader.statistics().waiting_seconds == 0.0
        told = [each for each in caplog.records if each.name == "busduct.broadcast"]
        assert {record.levelname for record in told} == {"INFO"}


async def test_nobody_warns_unless_told_to(
    backend: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "busduct.broadcast")
    async with backend.Context() as ctx, BroadcastQueue(1, context=ctx) as queue:
        with pytest.raises(TimeoutError):
            await queue.wait_ready(0.05)
        assert "busduct.broadcast" not in {record.name for record in caplog.records}
        for warn_after in (0.0, -1.0, float("nan")):
            with pytest.raises(ConfigError, match="warn_after"):
                BroadcastQueue(1, context=ctx, warn_after=warn_after)
            with pytest.raises(ConfigError, match="warn_after"):
                BroadcastReader(queue.handle, context=ctx, warn_after=warn_after)
