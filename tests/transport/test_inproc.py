"""inproc: sockets of one context move messages to each other."""

import asyncio
import gc
from types import ModuleType
from typing import Any

import pytest
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    AddressInUseError,
    ConfigError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
    MalformedFrameError,
    PeerLostError,
    RemoteProtocolError,
)

pytestmark = pytest.mark.usefixtures("any_loop")

AT = "inproc://here"


async def events(monitor: Any) -> list[Any]:
    """Take the events that are there."""
    taken = []
    while (event := monitor.recv_nowait()) is not None:
        taken.append(event)
    return taken


async def test_the_very_objects_arrive(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        assert rx.bind(AT) == AT
        assert rx.last_endpoint == AT
        tx.connect(AT)
        parts = [b"some text of its own", bytes(1000)]
        await tx.send_multipart(parts)
        received = await rx.recv_multipart()
        assert received == parts
        assert all(got is sent for got, sent in zip(received, parts, strict=True))


async def test_connecting_before_binding_waits_and_is_no_retry(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH, reconnect_interval=0.001), None
        monitor = tx.monitor()
        tx.connect(AT)
        await tx.send(b"early")
        await asyncio.sleep(0.02)
        assert tx.statistics().num_retries == 0
        assert await events(monitor) == []
        rx = ctx.socket(backend.PULL)
        rx.bind(AT)
        assert tx.statistics().num_peers == 1
        assert await rx.recv() == b"early"


async def test_name_is_bound_once(backend: ModuleType) -> None:
    async with backend.Context() as ctx, backend.Context() as other:
        first, second = ctx.socket(backend.PULL), ctx.socket(backend.PULL)
        first.bind(AT)
        with pytest.raises(AddressInUseError) as caught:
            second.bind(AT)
        assert caught.value.endpoint == AT
        with pytest.raises(AddressInUseError):
            first.bind(AT)
        # Another context has names of its own.
        other.socket(backend.PULL).bind(AT)


async def test_unbinding_frees_the_name_and_links_stay(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, late = ctx.socket(backend.PUSH), ctx.socket(backend.PUSH)
        first, second = ctx.socket(backend.PULL), ctx.socket(backend.PULL)
        first.bind(AT)
        tx.connect(AT)
        await eventually(lambda: tx.statistics().num_peers == 1)
        first.unbind(AT)
        with pytest.raises(LocalProtocolError):
            first.unbind(AT)
        late.connect(AT)
        await settle()
        assert late.statistics().num_peers == 0
        second.bind(AT)
        await tx.send(b"to the first")
        await late.send(b"to the second")
        assert await first.recv() == b"to the first"
        assert await second.recv() == b"to the second"


async def test_closing_frees_the_name(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        for _ in range(3):
            rx = ctx.socket(backend.PULL)
            rx.bind(AT)
            rx.close()


async def test_connector_comes_back_when_the_name_is_bound_again(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx, first = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        first.bind(AT)
        tx.connect(AT)
        await tx.send(b"1")
        assert await first.recv() == b"1"
        first.close()
        await eventually(lambda: tx.statistics().num_peers == 0)
        await tx.send(b"2")
        second = ctx.socket(backend.PULL)
        second.bind(AT)
        assert await second.recv() == b"2"
        assert tx.statistics().num_retries == 0


async def test_disconnecting_ends_the_link(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        rx.bind(AT)
        tx.connect(AT)
        await tx.send(b"sent")
        tx.disconnect(AT)
        with pytest.raises(LocalProtocolError):
            tx.disconnect(AT)
        await eventually(lambda: rx.statistics().num_peers == 0)
        assert await rx.recv() == b"sent"
        assert rx.statistics().num_disconnected == 1


async def test_both_queues_bound_what_is_under_way(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=3)
        rx = ctx.socket(backend.PULL, hwm_messages=5)
        rx.bind(AT)
        tx.connect(AT)
        texts = [b"%d" % index for index in range(20)]
        sending = asyncio.ensure_future(tx.send_many(texts))
        await settle()
        assert not sending.done()
        assert rx.statistics().num_recv_queued == 5
        assert tx.statistics().num_send_queued == 3
        with pytest.raises(FullError):
            tx.send_nowait(b"x")
        assert [await rx.recv() for _ in texts] == texts
        await sending


async def test_counters_are_those_of_any_link(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        rx.bind(AT)
        tx.connect(AT)
        await tx.send_multipart([b"ab", b"c"])
        await rx.recv_multipart()
        sent, received = tx.statistics(), rx.statistics()
        assert (sent.num_messages_sent, sent.num_bytes_sent) == (1, 3)
        assert received.num_messages_received == 1
        assert received.num_bytes_received == 3
        assert (sent.num_accepted, received.num_accepted) == (0, 1)
        assert (sent.num_connected, received.num_connected) == (1, 1)


async def test_kind_that_does_not_fit_is_refused_on_both_sides(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, reconnect_interval=0.001, reconnect_max=0.01)
        rx = ctx.socket(backend.PUB)
        rx.bind(AT)
        tx.connect(AT)
        await eventually(lambda: tx.statistics().num_retries > 1)
        theirs, ours = tx.recent_errors()[0], rx.recent_errors()[0]
        assert isinstance(theirs, RemoteProtocolError)
        assert str(theirs) == (
            "socket type PUSH does not speak with PUB; it speaks with PULL"
        )
        assert str(ours) == (
            "socket type PUB does not speak with PUSH; it speaks with SUB and XSUB"
        )
        assert tx.statistics().num_handshakes_failed > 0
        assert tx.statistics().num_connected == 0


async def test_cap_on_peers_holds(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, max_peers=1)
        rx.bind(AT)
        first = ctx.socket(backend.PUSH)
        second = ctx.socket(backend.PUSH, reconnect_interval=0.001, reconnect_max=0.01)
        first.connect(AT)
        second.connect(AT)
        await eventually(lambda: rx.statistics().num_refused > 1)
        assert rx.statistics().num_peers == 1
        first.close()
        await second.send(b"x")
        assert await rx.recv() == b"x"


async def test_routing_ids_are_announced_and_not_shared(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        router.bind(AT)
        named = ctx.socket(backend.DEALER, routing_id=b"me")
        nameless = ctx.socket(backend.DEALER)
        claimant = ctx.socket(backend.DEALER, routing_id=b"me", reconnect_interval=0.01)
        for dealer in (named, nameless, claimant):
            dealer.connect(AT)
        await named.send(b"x")
        assert await router.recv_multipart() == [b"me", b"x"]
        await nameless.send(b"y")
        routing_id, _ = await router.recv_multipart()
        assert (len(routing_id), routing_id[:1]) == (5, b"\0")
        await eventually(lambda: router.statistics().num_refused > 0)
        await router.send_multipart([b"me", b"still you"])
        assert await named.recv() == b"still you"


async def test_pair_has_one_peer(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        ours, first = ctx.socket(backend.PAIR), ctx.socket(backend.PAIR)
        second = ctx.socket(backend.PAIR, reconnect_interval=0.001, reconnect_max=0.01)
        ours.bind(AT)
        first.connect(AT)
        second.connect(AT)
        await eventually(lambda: ours.statistics().num_refused > 0)
        assert any("a PAIR has one peer" in str(e) for e in second.recent_errors())
        first.close()
        await second.send(b"hello")
        assert await ours.recv() == b"hello"


async def test_subscribers_get_what_they_asked_for(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUB)
        tx.bind(AT)
        subscribers = [ctx.socket(backend.SUB) for _ in range(3)]
        for index, rx in enumerate(subscribers):
            rx.subscribe(b"all")
            rx.subscribe(b"%d" % index)
            rx.connect(AT)
        await tx.wait_subscribers(3, b"all")
        await tx.send_many([b"0", b"1", b"2", b"3", b"all"])
        for index, rx in enumerate(subscribers):
            assert [await rx.recv() for _ in range(2)] == [b"%d" % index, b"all"]
        await tx.send_multipart([b"all", b"x"])
        received = [await rx.recv_multipart() for rx in subscribers]
        # Each has a list of its own.
        received[0].clear()
        assert received[1:] == [[b"all", b"x"]] * 2
        subscribers[0].unsubscribe(b"all")
        await eventually(lambda: tx.num_subscribers(b"all") == 2)
        subscribers[1].close()
        await eventually(lambda: tx.num_subscribers(b"all") == 1)


async def test_notices_of_an_xpub_stop_at_the_mark(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.XPUB, hwm_messages=10), ctx.socket(backend.XSUB)
        tx.bind(AT)
        rx.connect(AT)
        topics = [b"%d" % index for index in range(100)]
        for topic in topics:
            rx.subscribe(topic)
        await eventually(lambda: tx.statistics().num_subscriptions == 10)
        await settle()
        assert tx.statistics().num_subscriptions == 10
        assert [await tx.recv() for _ in topics] == [b"\1" + t for t in topics]


async def test_questions_are_answered(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        req, rep = ctx.socket(backend.REQ), ctx.socket(backend.REP)
        rep.bind(AT)
        req.connect(AT)
        await req.send(b"ask")
        assert await rep.recv() == b"ask"
        await rep.send(b"re")
        assert await req.recv() == b"re"
        await req.send(b"ask")
        await rep.recv()
        rep.close()
        with pytest.raises(PeerLostError) as caught:
            await req.recv()
        assert caught.value.peer == AT


async def test_bad_request_ends_the_link_and_is_not_sent_again(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rep = ctx.socket(backend.REP)
        dealer = ctx.socket(backend.DEALER, reconnect_interval=0.001)
        rep.bind(AT)
        dealer.connect(AT)
        await dealer.send(b"no delimiter")
        await dealer.send_multipart([b"", b"ask"])
        assert await rep.recv() == b"ask"
        (error,) = rep.recent_errors()
        assert isinstance(error, MalformedFrameError)


async def test_message_over_the_receivers_limits_ends_the_link(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, reconnect_interval=0.001)
        rx = ctx.socket(backend.PULL, max_message_bytes=10, max_parts=2)
        rx.bind(AT)
        tx.connect(AT)
        await tx.send(bytes(11))
        await tx.send_multipart([b"", b"", b""])
        await tx.send(bytes(10))
        assert await rx.recv() == bytes(10)
        errors = rx.recent_errors()
        assert all(isinstance(error, FrameTooLargeError) for error in errors)
        assert [(e.size, e.limit, e.unit) for e in errors] == [
            (11, 10, "bytes"),
            (3, 2, "parts"),
        ]


async def test_policy_of_the_receiver_holds(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL, on_full="conflate")
        rx.bind(AT)
        tx.connect(AT)
        await tx.send_many([b"1", b"2", b"3"])
        await eventually(lambda: rx.statistics().num_dropped == 2)
        assert await rx.recv() == b"3"


async def test_closing_lingers_until_the_receiver_took_all(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        rx = ctx.socket(backend.PULL, hwm_messages=5)
        rx.bind(AT)
        tx.connect(AT)
        texts = [b"%d" % index for index in range(50)]
        assert tx.send_many_nowait(texts) == 50
        tx.close(linger=None)
        assert [await rx.recv() for _ in texts] == texts
        assert tx.statistics().num_undelivered == 0


async def test_what_linger_could_not_send_is_undelivered(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        rx = ctx.socket(backend.PULL, hwm_messages=1)
        rx.bind(AT)
        tx.connect(AT)
        await tx.send_many([b"1", b"2", b"3"])
        tx.close(linger=0)
        assert tx.undelivered() == [[b"2"], [b"3"]]
        assert await rx.recv() == b"1"


async def test_unsent_messages_go_to_another_peer(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        first = ctx.socket(backend.PULL, hwm_messages=1)
        first.bind(AT)
        tx.connect(AT)
        await tx.send_many([b"1", b"2", b"3"])
        await settle()
        first.close()
        second = ctx.socket(backend.PULL)
        second.bind(AT)
        assert [await second.recv() for _ in range(2)] == [b"2", b"3"]


async def test_two_that_close_do_not_wait_for_each_other(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        left, right = (
            ctx.socket(backend.PAIR, hwm_messages=1, linger=None) for _ in range(2)
        )
        left.bind(AT)
        right.connect(AT)
        for sock in (left, right):
            await sock.send_many([b"1", b"2"])
        await settle()
        right.close()
        left.close()


async def test_socket_may_be_its_own_peer(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        sock = ctx.socket(backend.DEALER)
        sock.bind(AT)
        sock.connect(AT)
        assert sock.statistics().num_peers == 2
        await sock.send(b"x")
        assert await sock.recv() == b"x"


async def test_monitor_tells_of_inproc_links_too(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        sending, receiving = tx.monitor(), rx.monitor()
        rx.bind(AT)
        tx.connect(AT)
        await eventually(lambda: rx.statistics().num_peers == 1)
        tx.disconnect(AT)
        await eventually(lambda: rx.statistics().num_peers == 0)
        rx.unbind(AT)
        told = await events(receiving)
        assert [event.kind for event in told] == [
            "listening",
            "accepted",
            "connected",
            "disconnected",
            "closed",
        ]
        assert {event.endpoint for event in told} == {AT}
        kinds = [event.kind for event in await events(sending)]
        assert kinds == ["connected", "disconnected"]


@pytest.mark.parametrize("name", ["n" * 255, "\N{SNOWMAN}" * 85, "a/b:c d"])
async def test_name_of_255_bytes_will_do(backend: ModuleType, name: str) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://" + name))
        await tx.send(b"x")
        assert await rx.recv() == b"x"


@pytest.mark.parametrize("name", ["", "n" * 256, "\N{SNOWMAN}" * 86, "a\0b"])
async def test_unfit_name_is_a_config_error(backend: ModuleType, name: str) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        for call in (rx.bind, rx.connect):
            with pytest.raises(ConfigError):
                call("inproc://" + name)


async def test_sockets_that_come_and_go_leave_nothing(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        rx.bind(AT)
        for _ in range(500):
            tx = ctx.socket(backend.PUSH)
            tx.connect(AT)
            await tx.send(b"x")
            tx.close()
            assert await rx.recv() == b"x"
        await eventually(lambda: rx.statistics().num_peers == 0)
        assert rx.statistics().num_accepted == 500
        del tx
        gc.collect()


def test_messages_are_moved_without_a_loop(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL, hwm_messages=2)
        rx.bind(AT)
        tx.connect(AT)
        for index in range(10):
            tx.send_blocking(b"%d" % index)
        received = [rx.recv_nowait() for _ in range(10)]
        assert received == [b"%d" % index for index in range(10)]


async def test_last_message_of_a_closing_sender_is_taken_when_there_is_room(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL, hwm_messages=1), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("inproc://a"))
        assert tx.send_many_nowait([b"1", b"2", b"3"]) == 3
        tx.close(linger=None)
        assert [await rx.recv() for _ in range(3)] == [b"1", b"2", b"3"]
