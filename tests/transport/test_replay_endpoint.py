"""The replay endpoint and a subscriber of it, amid requests and answers by hand."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest
from tests.transport.typed_messages import (
    CODEC,
    PATIENCE,
    publish,
    publishing,
    samples,
    take,
)
from tests.transport.waiting import eventually, settle

from busduct.transport import MessageSubscriber, _patience
from busduct.transport._records import (
    Batch,
    Fence,
    decode_published,
    encode_batch,
    encode_fence,
    fence_topic,
)
from busduct.transport._sync_messages import (
    ALL_RECORDS,
    Answer,
    Begin,
    decode_answer,
    decode_begin,
    decode_request,
    encode_begin,
    encode_end,
    encode_records,
    encode_request,
    new_request,
)

pytestmark = pytest.mark.usefixtures("any_loop")

Ipc = Callable[[str], str]


class Oracle:
    """A publisher by hand, which answers as a test says."""

    def __init__(self, ctx: Any, backend: ModuleType, ipc: Ipc) -> None:
        self.pub = ctx.socket(backend.PUB)
        self.pub.bind(ipc("a"))
        self.router = ctx.socket(backend.ROUTER)
        self.router.bind(ipc("a.replay"))
        self.subscriber = MessageSubscriber(CODEC, ipc("a"), ctx)

    async def request(self) -> tuple[bytes, Any]:
        peer, *parts = await self.router.recv_multipart()
        return peer, decode_request(parts, 1 << 20)

    async def fence(self, request: Any, epoch: int = 7) -> None:
        await self.pub.wait_subscribers(1, request.fence)
        fence = Fence(request.fence, epoch, request.number)
        self.pub.send_multipart_nowait(encode_fence(fence))

    async def answer(self, begin: Begin) -> None:
        """Answer until the subscriber is ready; who waits for long asks again."""
        answering = asyncio.create_task(self._answer_each(begin))
        await self.subscriber.wait_ready(PATIENCE)
        answering.cancel()
        with suppress(asyncio.CancelledError):
            await answering

    async def _answer_each(self, begin: Begin) -> None:
        while True:
            peer, request = await self.request()
            await self.fence(request, begin.epoch)
            number = request.number
            for parts in (encode_begin(number, begin), encode_end(number)):
                await self.router.send_multipart([peer, *parts])


async def test_answers_that_are_none_are_counted_and_it_asks_again(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        oracle = Oracle(ctx, backend, ipc)
        for parts in ([b"\xc1"], [b"\x02" + bytes(7) + b"\x02"]):
            peer, request = await oracle.request()
            await oracle.fence(request)
            await oracle.router.send_multipart([peer, *parts])
            await eventually(lambda: oracle.subscriber.statistics().num_malformed)
        await oracle.answer(Begin(7, []))
        await oracle.subscriber.aclose()


async def test_request_without_a_fence_is_made_again_with_another(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        oracle = Oracle(ctx, backend, ipc)
        _, first = await oracle.request()
        _, second = await oracle.request()
        assert second.number > first.number
        assert second.fence != first.fence
        # That of an earlier request alone, and those of others, count for nothing.
        stray = Fence(fence_topic(b"x"), 7, second.number)
        for fence in (Fence(first.fence, 7, first.number), stray):
            oracle.pub.send_multipart_nowait(encode_fence(fence))
        await settle()
        assert not oracle.subscriber.statistics().is_ready
        await oracle.answer(Begin(7, []))
        await oracle.subscriber.aclose()


async def test_answers_that_come_late_count_all_the_same(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        oracle = Oracle(ctx, backend, ipc)
        peer, first = await oracle.request()
        await oracle.request()
        await oracle.fence(first)
        payloads = [CODEC.encode(sample)[1] for sample in samples(0, 3)]
        for parts in (
            encode_begin(first.number, Begin(7, [(b"t", 0, 3)])),
            encode_records(first.number, Batch(b"t", 7, 0, payloads)),
            encode_end(first.number),
        ):
            await oracle.router.send_multipart([peer, *parts])
        # The last request may never be answered: whoever publishes may be gone.
        assert await take(oracle.subscriber, 3) == samples(0, 3)
        assert not oracle.subscriber.statistics().is_ready
        await oracle.answer(Begin(7, [(b"t", 3, 3)]))
        assert oracle.subscriber.statistics().num_gaps == 0
        await oracle.subscriber.aclose()


async def test_answers_to_an_earlier_request_are_not_those_to_the_last(
    backend: ModuleType, ipc: Ipc, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that the second request stays the last.
    monkeypatch.setattr(_patience, "FIRST_SECONDS", 1.0)
    async with backend.Context() as ctx:
        oracle = Oracle(ctx, backend, ipc)
        peer, first = await oracle.request()
        _, second = await oracle.request()
        await oracle.fence(second)
        for number in (first.number, second.number):
            assert not oracle.subscriber.statistics().is_ready
            for parts in (encode_begin(number, Begin(7, [])), encode_end(number)):
                await oracle.router.send_multipart([peer, *parts])
            await settle(100)
        await oracle.subscriber.wait_ready(PATIENCE)
        assert oracle.subscriber.statistics().num_syncs == 1
        await oracle.subscriber.aclose()


async def test_answer_of_another_epoch_than_its_fence_is_asked_for_again(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        oracle = Oracle(ctx, backend, ipc)
        peer, request = await oracle.request()
        await oracle.fence(request, epoch=7)
        begin = encode_begin(request.number, Begin(6, [(b"t", 0, 50)]))
        for parts in (begin, encode_end(request.number)):
            await oracle.router.send_multipart([peer, *parts])
        await oracle.answer(Begin(7, []))
        assert oracle.subscriber.epoch == 7
        assert oracle.subscriber.statistics().num_syncs == 1
        await oracle.subscriber.aclose()


async def test_another_epoch_on_the_same_link_is_asked_about(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with backend.Context() as ctx:
        oracle = Oracle(ctx, backend, ipc)
        await oracle.answer(Begin(7, [(b"t", 0, 0)]))
        payloads = [CODEC.encode(sample)[1] for sample in samples(0, 2)]
        await oracle.pub.send_multipart(encode_batch(Batch(b"t", 8, 0, payloads)))
        assert await take(oracle.subscriber, 2) == samples(0, 2)
        assert not oracle.subscriber.statistics().is_ready
        # It may have asked more than once before it was ready.
        _, request = await oracle.request()
        while request.epoch != 8:
            _, request = await oracle.request()
        assert (request.epoch, request.positions) == (8, [(b"t", 2)])
        assert [last for _, last in request.prefixes] == [ALL_RECORDS]
        await oracle.subscriber.aclose()


async def test_newer_request_ends_the_answers_to_an_older_one(
    backend: ModuleType, ipc: Ipc
) -> None:
    async with publishing(backend, ipc("a")) as (ctx, publisher):
        publish(publisher, samples(0, 10))
        sub, dealer = ctx.socket(backend.SUB), ctx.socket(backend.DEALER)
        sub.connect(publisher.bind_address)
        dealer.connect(publisher.replay_address)
        for number, token in ((1, b"never"), (2, b"x")):
            request = new_request(number, 0, fence_topic(token), [(b"t", 3)], [])
            await dealer.send(encode_request(request))
        await eventually(lambda: publisher.statistics().num_replay_requests == 2)
        sub.subscribe(fence_topic(b"never"))
        sub.subscribe(fence_topic(b"x"))
        fence = decode_published(await sub.recv_multipart())
        assert fence == Fence(fence_topic(b"x"), publisher.epoch, 2)
        answers = [decode_answer(await dealer.recv_multipart()) for _ in range(3)]
        assert [(kind, number) for kind, number, _ in answers] == [
            (Answer.BEGIN, 2),
            (Answer.RECORDS, 2),
            (Answer.END, 2),
        ]
        assert decode_begin(answers[0][2][0]).topics == [(b"t", 7, 10)]
        payloads = [CODEC.encode(sample)[1] for sample in samples(7, 10)]
        assert decode_published(answers[1][2]) == Batch(
            b"t", publisher.epoch, 7, payloads
        )
        assert dealer.recv_multipart_nowait() is None
