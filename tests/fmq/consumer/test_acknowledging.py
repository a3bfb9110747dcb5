"""A consumer says what is done, and when."""

import asyncio
from pathlib import Path
from types import ModuleType

import pytest
from tests.fmq.consuming import scene
from tests.transport.waiting import eventually, settle

from busduct.fmq._wire import Data


async def test_in_automatic_mode_what_is_got_is_acknowledged(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer_of(b"a", b"b", b"c")
        await here.consumer.get()
        await here.consumer.get()
        await producer.told(2)
        assert here.consumer.get_nowait() is not None
        await producer.told(3)
        assert here.consumer.statistics().num_acknowledged == 3


async def test_acknowledgements_go_out_though_nothing_more_is_asked_for(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer_of(*[b"x"] * 50)
        # All in one turn of the loop, which does not last until the next telling.
        await eventually(lambda: here.consumer.statistics().num_prefetched == 50)
        for _ in range(50):
            await here.consumer.get()
        await producer.told(50)
        # In one go at the end of the turn, as it is less than a quarter of the window.
        assert producer.num_acks < 5


async def test_a_quarter_of_the_window_is_acknowledged_at_once(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, prefetch_messages=8) as here:
        await here.producer_of(*[b"x"] * 4)
        await eventually(lambda: here.consumer.statistics().num_prefetched == 4)
        assert len(here.consumer.get_many_nowait(1)) == 1
        sent = here.consumer._channel._router.statistics
        before = sent().num_send_queued + sent().num_messages_sent
        assert len(here.consumer.get_many_nowait(1)) == 1
        assert sent().num_send_queued + sent().num_messages_sent == before + 1


async def test_an_acknowledgement_is_the_applications_in_manual_mode(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, ack="manual") as here:
        producer = await here.producer_of(b"a", b"b", b"c")
        a, b, c = [await here.consumer.get() for _ in range(3)]
        assert here.consumer.statistics().num_unacknowledged == 3
        c.ack()
        await producer.told(0, 2)
        b.nack()
        while producer.returned != [1]:
            await producer.hear()
        for message in (a, a, b, c):
            message.ack()
        c.nack()
        await producer.told(3)
        statistics = here.consumer.statistics()
        assert statistics.num_acknowledged == 2
        assert statistics.num_returned == 1
        assert statistics.num_unacknowledged == 0
        await settle()
        assert producer.returned == [1]


async def test_what_is_acknowledged_in_another_thread_is_told(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, ack="manual") as here:
        producer = await here.producer_of(*[b"x"] * 20)
        messages = [await here.consumer.get() for _ in range(20)]
        await asyncio.to_thread(lambda: [message.ack() for message in messages])
        await producer.told(20)


async def test_a_message_may_be_handed_out_and_acknowledged_later(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir) as here:
        producer = await here.producer_of(b"a", b"b", b"c")
        early = await here.consumer.get_many(1, acknowledge=False)
        early[0].ack()
        assert (await here.consumer.get()).payload == b"b"
        await producer.told(0, 1)
        early[0]._acknowledge()
        await producer.told(2)


async def test_a_payload_that_does_not_decode_is_skipped_and_done_with(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    def decode(data: Data) -> bytes:
        if data.body == b"bad":
            msg = "no such thing"
            raise ValueError(msg)
        return bytes(data.body)

    async with scene(backend, ipc_dir, decode, ack="manual") as here:
        producer = await here.producer_of(b"bad", b"good")
        message = await here.consumer.get()
        assert message.payload == b"good"
        await producer.told(1)
        assert here.consumer.statistics().num_undecodable == 1
        error = here.consumer.recent_errors()[-1]
        assert str(error) == "no such thing"
        assert error.__traceback__ is None


async def test_an_interrupted_decode_gives_the_message_back(
    backend: ModuleType, ipc_dir: Path
) -> None:
    def decode(data: Data) -> bytes:
        raise KeyboardInterrupt

    async with scene(backend, ipc_dir, decode) as here:
        producer = await here.producer_of(b"a")
        await eventually(lambda: here.consumer.statistics().num_prefetched == 1)
        with pytest.raises(KeyboardInterrupt):
            here.consumer.get_nowait()
        while producer.returned != [0]:
            await producer.hear()


async def test_acknowledging_after_close_does_nothing(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with scene(backend, ipc_dir, ack="manual") as here:
        await here.producer_of(b"a")
        message = await here.consumer.get()
        await here.consumer.close()
        message.ack()
        await asyncio.to_thread(message.nack)


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
async def test_a_caller_that_drains_in_bursts_keeps_a_small_window_going(
    backend: ModuleType, any_loop: str, ipc_dir: Path, transport: str
) -> None:
    window = 6
    options = {"prefetch_messages": window, "transport": transport}
    async with scene(backend, ipc_dir, **options) as here:
        producer = await here.producer()

        async def produce() -> None:
            for n in range(200):
                while n - producer.upto >= window:
                    await producer.hear()
                await producer.put(str(n).encode(), first_id=n)

        producing = asyncio.create_task(produce())
        ids: list[int | None] = []
        while len(ids) < 200:
            burst = await here.consumer.get_many(1000)
            assert len(burst) <= window
            ids += [message.msg_id for message in burst]
            await settle()
        assert ids == list(range(200))
        await producing
