"""A monitor tells, in order, what happened to a socket's connections."""

import asyncio
import socket
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tests.transport.peers import GREETING, RawPeer
from tests.transport.waiting import eventually, turn_until

from busduct.errors import (
    ClosedError,
    ConfigError,
    HandshakeError,
    LocalProtocolError,
    MalformedFrameError,
    RemoteProtocolError,
    WaitTimeoutError,
)
from busduct.monitor import MonitorEvent

FAST = {"reconnect_interval": 0.01, "reconnect_max": 0.02}


async def kinds_until(monitor: Any, last: str) -> list[str]:
    """Take events up to one of the kind `last`; return the kinds."""
    kinds: list[str] = []
    async for event in monitor:
        kinds.append(event.kind)
        if event.kind == last:
            return kinds
    raise AssertionError(kinds)


async def event_of(monitor: Any, kind: str) -> MonitorEvent:
    """Take events up to one of this kind; return it."""
    async for event in monitor:
        if event.kind == kind:
            assert isinstance(event, MonitorEvent)
            return event
    raise AssertionError(kind)


async def test_listener_tells_the_life_of_a_connection_in_order(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        monitor = rx.monitor()
        endpoint = rx.bind(address)
        tx.connect(endpoint)
        events = [await anext(monitor) for _ in range(3)]
        tx.disconnect(endpoint)
        events.append(await anext(monitor))
        rx.unbind(endpoint)
        events.append(await anext(monitor))
        kinds = ["listening", "accepted", "connected", "disconnected", "closed"]
        assert events == [MonitorEvent(kind=k, endpoint=endpoint) for k in kinds]


async def test_connector_tells_the_life_of_a_connection_in_order(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with backend.Context() as ctx, backend.Context() as other:
        tx = ctx.socket(backend.PUSH, **FAST)
        monitor = tx.monitor()
        rx = other.socket(backend.PULL, linger=0)
        endpoint = rx.bind(address)
        tx.connect(endpoint)
        assert (await anext(monitor)).kind == "connected"
        rx.close()
        assert (await anext(monitor)).kind == "disconnected"
        again = await anext(monitor)
        assert again == MonitorEvent(kind="retried", endpoint=endpoint)
        # Nobody listens: each attempt is put off.
        assert (await anext(monitor)).kind == "retried"
        rx = other.socket(backend.PULL)
        rx.bind(endpoint)
        kinds = await kinds_until(monitor, "connected")
        assert set(kinds[:-1]) <= {"retried"}


async def test_number_of_retries_told_is_the_number_counted(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, **FAST)
        monitor = tx.monitor()
        tx.connect(ipc("nobody"))
        for _ in range(3):
            event = await anext(monitor)
            assert event == MonitorEvent(kind="retried", endpoint=ipc("nobody"))
        num_left = 0
        num_retries = tx.statistics().num_retries
        while monitor.recv_nowait() is not None:
            num_left += 1
        assert num_retries == 3 + num_left


async def test_router_tells_routing_ids(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        dealer = ctx.socket(backend.DEALER, routing_id=b"me")
        monitor = router.monitor()
        endpoint = router.bind(address)
        dealer.connect(endpoint)
        accepted = await event_of(monitor, "accepted")
        assert accepted.routing_id == b""
        connected = await event_of(monitor, "connected")
        assert connected.routing_id == b"me"
        dealer.disconnect(endpoint)
        disconnected = await event_of(monitor, "disconnected")
        assert disconnected.routing_id == b"me"


async def test_router_tells_the_routing_id_that_it_made_up(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        router, dealer = ctx.socket(backend.ROUTER), ctx.socket(backend.DEALER)
        monitor = router.monitor()
        dealer.connect(router.bind(address))
        await dealer.send(b"x")
        routing_id, _ = await router.recv_multipart()
        connected = await event_of(monitor, "connected")
        assert connected.routing_id == routing_id != b""


async def test_other_kinds_tell_no_routing_id(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        one = ctx.socket(backend.DEALER)
        monitor = one.monitor()
        endpoint = one.bind(address)
        async with await RawPeer.introduced(endpoint, b"DEALER", b"someone"):
            assert (await event_of(monitor, "connected")).routing_id == b""


@pytest.mark.parametrize(
    ("said", "error"),
    [(b"GET / HTTP/1.1\r\n", MalformedFrameError), (b"", type(None))],
    ids=["garbage", "nothing"],
)
async def test_handshake_that_fails_is_told_with_its_error(
    backend: ModuleType,
    any_loop: str,
    address: str,
    said: bytes,
    error: type[Exception] | None,
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        monitor = rx.monitor()
        endpoint = rx.bind(address)
        async with await RawPeer.connect(endpoint) as peer:
            await peer.send(said)
            if not said:
                await peer.close()
            event = await event_of(monitor, "handshake_failed")
        assert event.endpoint == endpoint
        assert isinstance(event.error, error or type(None))
        told = [repr(event.error)] if event.error else []
        assert [repr(error) for error in rx.recent_errors()] == told


async def test_handshake_that_is_overdue_is_told(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, handshake_timeout=0.05)
        monitor = rx.monitor()
        async with await RawPeer.connect(rx.bind(address)) as peer:
            await peer.send(GREETING)
            event = await event_of(monitor, "handshake_failed")
        assert isinstance(event.error, HandshakeError)
        assert [str(e) for e in rx.recent_errors()] == [str(event.error)]


async def test_connector_tells_a_handshake_that_fails_and_its_retry(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        one = ctx.socket(backend.PULL)
        two = ctx.socket(backend.PULL, **FAST)
        monitor = two.monitor()
        two.connect(one.bind(address))
        first, second = await anext(monitor), await anext(monitor)
        assert (first.kind, second.kind) == ("handshake_failed", "retried")
        assert isinstance(first.error, RemoteProtocolError)


async def test_protocol_error_of_a_connected_peer_is_told(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        monitor = rx.monitor()
        async with await RawPeer.introduced(rx.bind(address), b"PUSH") as peer:
            await event_of(monitor, "connected")
            await peer.send(b"\xff\xff\xff")
            event = await anext(monitor)
        assert event.kind == "disconnected"
        assert isinstance(event.error, MalformedFrameError)
        assert [str(e) for e in rx.recent_errors()] == [str(event.error)]


async def test_peer_beyond_the_cap_is_told_as_refused(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL, max_peers=1)
        monitor = rx.monitor()
        endpoint = rx.bind(address)
        async with await RawPeer.introduced(endpoint, b"PUSH"):
            await event_of(monitor, "connected")
            async with await RawPeer.connect(endpoint):
                event = await anext(monitor)
        assert event == MonitorEvent(kind="refused", endpoint=endpoint)


async def test_routing_id_in_use_is_told_as_refused_after_accepted(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        monitor = router.monitor()
        endpoint = router.bind(address)
        async with await RawPeer.introduced(endpoint, b"DEALER", b"same"):
            await event_of(monitor, "connected")
            async with await RawPeer.introduced(endpoint, b"DEALER", b"same"):
                first, second = await anext(monitor), await anext(monitor)
        assert (first.kind, second.kind) == ("accepted", "refused")
        assert isinstance(second.error, RemoteProtocolError)
        assert second.endpoint == endpoint


async def test_iteration_ends_when_the_socket_is_closed(
    backend: ModuleType, any_loop: str, address: str, ipc: Callable[[str], str]
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        monitor = rx.monitor()
        endpoints = [rx.bind(address), rx.bind(ipc("second"))]
        assert [monitor.recv_nowait().kind for _ in endpoints] == ["listening"] * 2
        rx.close()
        events = [event async for event in monitor]
        assert events == [MonitorEvent(kind="closed", endpoint=e) for e in endpoints]
        with pytest.raises(ClosedError, match="monitor"):
            monitor.recv_nowait()
        with pytest.raises(ClosedError, match="monitor"):
            monitor.recv_blocking(timeout=0)
        with pytest.raises(ClosedError):
            rx.monitor()


async def test_task_that_waits_learns_that_the_socket_is_closed(
    backend: ModuleType, any_loop: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        monitor = rx.monitor()

        async def all_kinds() -> list[str]:
            return [event.kind async for event in monitor]

        waiting = asyncio.create_task(all_kinds())
        await asyncio.sleep(0)
        rx.close()
        assert await waiting == []


async def test_second_monitor_takes_the_place_of_the_first(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        first = rx.monitor()
        endpoint = rx.bind(address)
        second = rx.monitor()
        rx.unbind(endpoint)
        assert [event.kind async for event in first] == ["listening"]
        event = second.recv_nowait()
        assert event is not None
        assert event.kind == "closed"
        assert second.recv_nowait() is None


async def test_closed_monitor_keeps_what_it_had_and_gets_no_more(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        monitor = rx.monitor()
        rx.bind(address)
        monitor.close()
        monitor.close()
        rx.unbind(rx.last_endpoint)
        assert [event.kind async for event in monitor] == ["listening"]


async def test_oldest_events_beyond_the_bound_are_dropped_and_counted(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        monitor = rx.monitor(max_events=2)
        for name in ("a", "b", "c", "d"):
            rx.bind(ipc(name))
        assert monitor.num_dropped == 2
        monitor.close()
        endpoints = [event.endpoint async for event in monitor]
        assert endpoints == [ipc("c"), ipc("d")]
        assert monitor.num_dropped == 2


def test_monitor_of_no_events_is_refused(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        with pytest.raises(ConfigError, match="max_events is 0"):
            rx.monitor(0)


async def test_cancelled_wait_loses_no_event(
    backend: ModuleType, any_loop: str, ipc: Callable[[str], str]
) -> None:
    async with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        monitor = rx.monitor()

        async def take() -> MonitorEvent:
            event = await anext(monitor)
            assert isinstance(event, MonitorEvent)
            return event

        first = asyncio.create_task(take())
        second = asyncio.create_task(take())
        await asyncio.sleep(0)
        rx.bind(ipc("a"))
        # It is woken already, and gone before it runs.
        first.cancel()
        assert (await second).endpoint == ipc("a")
        assert first.cancelled()


def test_blocking_caller_takes_events(backend: ModuleType, address: str) -> None:
    with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        monitor = rx.monitor()
        tx.connect(rx.bind(address))
        kinds = [monitor.recv_blocking(timeout=20).kind for _ in range(3)]
        assert kinds == ["listening", "accepted", "connected"]
        with pytest.raises(WaitTimeoutError):
            monitor.recv_blocking(timeout=0)


def test_events_are_held_while_nobody_takes_them(
    backend: ModuleType, address: str
) -> None:
    with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        monitor = rx.monitor()
        tx.connect(rx.bind(address))
        turn_until(ctx, lambda: rx.statistics().num_connected)
        kinds = []
        while (event := monitor.recv_nowait()) is not None:
            kinds.append(event.kind)
        assert kinds == ["listening", "accepted", "connected"]


def test_monitor_is_opened_by_a_socket_alone(backend: ModuleType) -> None:
    with pytest.raises(TypeError):
        backend.Monitor()


async def test_monitor_of_one_socket_tells_nothing_of_another(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        ours = rx.monitor()
        theirs = tx.monitor()
        tx.connect(rx.bind(address))
        await eventually(lambda: tx.statistics().num_connected)
        await event_of(ours, "connected")
        rx.close()
        assert (await event_of(theirs, "connected")).kind == "connected"
        assert [event.kind async for event in ours] == ["closed"]


def test_wait_for_an_event_outside_asyncio_is_misuse(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        monitor = ctx.socket(backend.PULL).monitor()
        with pytest.raises(LocalProtocolError, match="asyncio"):
            next(iter(anext(monitor).__await__()))


@pytest.fixture
def busy_port() -> Any:
    """Give a TCP port whose owner never listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


async def test_refused_tcp_connection_is_told_as_retried(
    backend: ModuleType, busy_port: int
) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, **FAST)
        monitor = tx.monitor()
        tx.connect(f"tcp://127.0.0.1:{busy_port}")
        event = await anext(monitor)
        assert event.kind == "retried"
        assert event.endpoint == f"tcp://127.0.0.1:{busy_port}"
