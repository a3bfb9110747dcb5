"""PUB and SUB: every subscriber gets what it subscribed to, and nothing else."""

import asyncio
from types import ModuleType
from typing import Any

import pytest
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    ClosedError,
    ConfigError,
    LocalProtocolError,
    WaitTimeoutError,
)

pytestmark = pytest.mark.usefixtures("any_loop")


async def test_subscriber_gets_what_starts_with_its_topic(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        rx.subscribe(b"news.")
        rx.subscribe(bytearray(b"sport."))
        rx.connect(tx.bind(address))
        await tx.wait_subscribers(topic=b"sport.")
        for text in (b"news", b"news.a", b"weather.b", b"sport.c", b"", b"news."):
            await tx.send(text)
        assert [await rx.recv() for _ in range(3)] == [b"news.a", b"sport.c", b"news."]
        assert rx.recv_nowait() is None


async def test_publisher_may_connect_and_its_subscriber_bind(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        rx.subscribe(b"")
        tx.connect(rx.bind(address))
        await tx.wait_subscribers()
        await tx.send_multipart([b"", b"x", b""])
        assert await rx.recv_multipart() == [b"", b"x", b""]


async def test_only_the_first_part_is_matched(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        rx.subscribe(b"a")
        rx.connect(tx.bind("tcp://127.0.0.1:0"))
        await tx.wait_subscribers(topic=b"a")
        await tx.send_multipart([b"b", b"a"])
        await tx.send_multipart([b"a", b"b"])
        assert await rx.recv_multipart() == [b"a", b"b"]


async def test_255_bytes_of_a_first_part_count(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        topic = b"t" * 255
        rx.subscribe(topic)
        rx.connect(tx.bind("tcp://127.0.0.1:0"))
        await tx.wait_subscribers(topic=topic + b"and more")
        await tx.send(topic[:-1])
        await tx.send(topic + bytes(1 << 20))
        assert await rx.recv() == topic + bytes(1 << 20)


async def test_message_that_matches_several_topics_comes_once(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        for topic in (b"", b"a", b"ab", b"abc"):
            rx.subscribe(topic)
        rx.connect(tx.bind("tcp://127.0.0.1:0"))
        await eventually(lambda: tx.statistics().num_subscriptions == 4)
        await tx.send_many([b"abc", b"end"])
        assert [await rx.recv() for _ in range(2)] == [b"abc", b"end"]
        assert rx.recv_nowait() is None


async def test_every_subscriber_gets_everything_in_order(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB, on_full="wait")
        endpoint = tx.bind(address)
        subscribers = [ctx.socket(backend.SUB) for _ in range(4)]
        for rx in subscribers:
            rx.subscribe(b"")
            rx.connect(endpoint)
        await tx.wait_subscribers(4)
        messages = [b"%d" % index for index in range(3000)]
        sending = asyncio.ensure_future(tx.send_many(messages))
        for rx in subscribers:
            received: list[bytes] = []
            while len(received) < len(messages):
                received += await rx.recv_many()
            assert received == messages
        await sending


async def test_what_was_subscribed_to_twice_is_unsubscribed_from_twice(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        rx.subscribe(b"a")
        rx.subscribe(b"a")
        rx.connect(tx.bind("tcp://127.0.0.1:0"))
        await tx.wait_subscribers(topic=b"a")
        rx.unsubscribe(b"a")
        rx.subscribe(b"mark")
        await tx.wait_subscribers(topic=b"mark")
        assert tx.num_subscribers(b"a") == 1
        rx.unsubscribe(b"a")
        await eventually(lambda: tx.num_subscribers(b"a") == 0)
        assert tx.num_subscribers(b"mark") == 1


async def test_message_under_way_is_dropped_after_unsubscribing(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        rx.subscribe(b"a")
        rx.subscribe(b"b")
        rx.connect(tx.bind("tcp://127.0.0.1:0"))
        await tx.wait_subscribers(topic=b"b")
        rx.unsubscribe(b"a")
        # The publisher does not know yet.
        tx.send_many_nowait([b"a", b"b"])
        assert await rx.recv() == b"b"


async def test_unsubscribing_from_nothing_is_misuse(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.SUB)
        rx.subscribe(b"a")
        with pytest.raises(LocalProtocolError):
            rx.unsubscribe(b"")
        rx.unsubscribe(b"a")
        with pytest.raises(LocalProtocolError):
            rx.unsubscribe(b"a")


async def test_topic_over_255_bytes_is_a_config_error(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.SUB)
        rx.subscribe(b"t" * 255)
        with pytest.raises(ConfigError, match="256 bytes"):
            rx.subscribe(b"t" * 256)
        assert rx.statistics().num_subscriptions == 1


@pytest.mark.parametrize("topic", ["text", None, 5])
async def test_topic_that_is_no_buffer_is_a_type_error(
    backend: ModuleType, topic: Any
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.SUB), ctx.socket(backend.PUB)
        for call in (rx.subscribe, rx.unsubscribe, tx.num_subscribers):
            with pytest.raises(TypeError):
                call(topic)


async def test_kinds_without_topics_have_no_calls_for_them(backend: ModuleType) -> None:
    kinds = ("PAIR", "PUB", "REQ", "REP", "DEALER", "ROUTER", "PULL", "PUSH", "XPUB")
    async with backend.Context() as ctx:
        for kind in kinds:
            sock = ctx.socket(getattr(backend, kind))
            for call in (sock.subscribe, sock.unsubscribe):
                with pytest.raises(LocalProtocolError, match=kind):
                    call(b"")
        for kind in ("SUB", "XSUB", "PULL", "DEALER"):
            sock = ctx.socket(getattr(backend, kind))
            with pytest.raises(LocalProtocolError, match=kind):
                sock.num_subscribers()
            with pytest.raises(LocalProtocolError, match=kind):
                await sock.wait_subscribers()
            with pytest.raises(LocalProtocolError, match=kind):
                sock.wait_subscribers_blocking(timeout=0)


async def test_subscriber_cannot_send_nor_publisher_receive(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        with pytest.raises(LocalProtocolError, match="SUB"):
            rx.send_nowait(b"x")
        with pytest.raises(LocalProtocolError, match="PUB"):
            tx.recv_nowait()
        with pytest.raises(LocalProtocolError, match="PUB"):
            await tx.recv_multipart()


async def test_message_without_a_subscriber_is_gone_and_counted_nowhere(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        await tx.send_many([b"x"] * 2000)
        rx.subscribe(b"other")
        rx.connect(tx.bind("tcp://127.0.0.1:0"))
        await tx.wait_subscribers(topic=b"other")
        await tx.send(b"x")
        statistics = tx.statistics()
        assert statistics.num_send_queued == 0
        assert statistics.num_dropped == 0
        assert statistics.num_undelivered == 0
        assert statistics.num_messages_sent == 0
        await tx.send(b"other")
        assert await rx.recv() == b"other"


async def test_publisher_counts_who_would_get_a_message(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        for topics in ((b"a",), (b"ab", b"b"), (b"",)):
            rx = ctx.socket(backend.SUB)
            for topic in topics:
                rx.subscribe(topic)
            rx.connect(endpoint)
            assert rx.statistics().num_subscriptions == len(topics)
        await eventually(lambda: tx.statistics().num_subscriptions == 4)
        counts = [tx.num_subscribers(t) for t in (b"", b"a", b"ab", b"abc", b"b", b"c")]
        assert counts == [1, 2, 3, 3, 2, 1]
        assert tx.num_subscribers() == 1
        assert tx.statistics().num_peers == 3


async def test_subscriber_that_leaves_takes_its_topics_along(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        endpoint = tx.bind(address)
        leaving, staying = ctx.socket(backend.SUB), ctx.socket(backend.SUB)
        for rx in (leaving, staying):
            rx.subscribe(b"a")
            rx.connect(endpoint)
        leaving.subscribe(b"b")
        await tx.wait_subscribers(2, b"a")
        await tx.wait_subscribers(1, b"b")
        leaving.close()
        await eventually(lambda: tx.num_subscribers(b"a") == 1)
        assert tx.num_subscribers(b"b") == 0
        assert tx.statistics().num_subscriptions == 1
        await tx.send(b"a")
        assert await staying.recv() == b"a"


async def test_subscriptions_are_told_again_after_a_reconnection(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.SUB, reconnect_interval=0.01)
        rx.subscribe(b"a")
        first = ctx.socket(backend.PUB)
        endpoint = first.bind(address)
        rx.connect(endpoint)
        await first.wait_subscribers(topic=b"a")
        first.close()
        await eventually(lambda: rx.statistics().num_disconnected == 1)
        rx.subscribe(b"b")
        rx.unsubscribe(b"a")
        second = ctx.socket(backend.PUB)
        second.bind(endpoint)
        await second.wait_subscribers(topic=b"b")
        assert second.num_subscribers(b"a") == 0
        await second.send(b"b")
        assert await rx.recv() == b"b"


async def test_subscriber_hears_all_publishers_it_is_connected_to(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.SUB)
        publishers = [ctx.socket(backend.PUB) for _ in range(3)]
        for tx in publishers:
            rx.connect(tx.bind("tcp://127.0.0.1:0"))
        rx.subscribe(b"")
        for index, tx in enumerate(publishers):
            await tx.wait_subscribers()
            await tx.send(b"%d" % index)
        assert {await rx.recv() for _ in publishers} == {b"0", b"1", b"2"}


async def test_waiting_for_subscribers_ends_when_there_are_enough(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        endpoint = tx.bind("tcp://127.0.0.1:0")
        waiting = asyncio.ensure_future(tx.wait_subscribers(2, b"topic"))
        for _ in range(2):
            await settle()
            assert not waiting.done()
            rx = ctx.socket(backend.SUB)
            rx.subscribe(b"top")
            rx.connect(endpoint)
            await eventually(lambda rx=rx: rx.statistics().num_peers)
        await waiting
        assert tx.num_subscribers(b"topic") == 2


async def test_fewer_than_one_subscriber_cannot_be_waited_for(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        for count in (0, -1):
            with pytest.raises(ConfigError):
                await tx.wait_subscribers(count)
            with pytest.raises(ConfigError):
                tx.wait_subscribers_blocking(count, timeout=0)


async def test_waiting_for_subscribers_ends_when_the_publisher_is_closed(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        waiting = asyncio.ensure_future(tx.wait_subscribers())
        await settle()
        tx.close()
        with pytest.raises(ClosedError):
            await waiting
        with pytest.raises(ClosedError):
            tx.num_subscribers()


async def test_closing_publisher_sends_what_it_has(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        rx.subscribe(b"")
        rx.connect(tx.bind(address))
        await tx.wait_subscribers()
        messages = [b"%d" % index for index in range(500)]
        tx.send_many_nowait(messages)
        tx.close(linger=None)
        assert [await rx.recv() for _ in messages] == messages


def test_subscribers_are_waited_for_without_a_loop(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUB), ctx.socket(backend.SUB)
        with pytest.raises(WaitTimeoutError):
            tx.wait_subscribers_blocking(timeout=0.01)
        rx.subscribe(b"")
        rx.connect(tx.bind("tcp://127.0.0.1:0"))
        tx.wait_subscribers_blocking(timeout=20)
        tx.send_blocking(b"x")
        assert rx.recv_blocking(timeout=20) == b"x"
