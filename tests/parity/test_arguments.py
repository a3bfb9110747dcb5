"""Both backends take and refuse the same arguments, with the same class of error."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from busduct.errors import BusductError, ClosedError, ConfigError, LocalProtocolError

# A call that waits although it should be refused ends as a TimeoutError.
PATIENCE_SECONDS = 0.5

OUT_OF_RANGE = [-1, -0.001, math.nan, -math.inf]
STRIDED = memoryview(bytes(range(12)))[::2]
TRANSPOSED = np.arange(6, dtype=np.uint8).reshape(2, 3).T
BUFFERS = [
    pytest.param(STRIDED, id="strided"),
    pytest.param(STRIDED[::-1], id="reversed"),
    pytest.param(TRANSPOSED, id="transposed"),
    pytest.param(np.arange(3, dtype=np.int32), id="int32"),
    pytest.param(memoryview(bytes(12)).cast("B", (3, 4)), id="two-dimensional"),
    pytest.param(bytearray(), id="no bytes"),
]


@contextmanager
def pair(backend: ModuleType) -> Iterator[tuple[Any, Any]]:
    """Give a PUSH with nobody to send to and a PULL with nobody to hear."""
    with backend.Context() as ctx:
        yield ctx.socket(backend.PUSH, linger=0), ctx.socket(backend.PULL)


@contextmanager
def connected(backend: ModuleType) -> Iterator[tuple[Any, Any]]:
    """Give a PUSH and the PULL that it sends to."""
    with pair(backend) as (tx, rx):
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        yield tx, rx


def resolve(result: Any) -> Any:
    """Await what a call returned, if it is to be awaited."""
    if not hasattr(result, "__await__"):
        return result

    async def bounded() -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await result

    return asyncio.run(bounded())


@pytest.mark.parametrize("data", BUFFERS)
def test_buffer_of_any_layout_is_sent_as_its_bytes(
    backend: ModuleType, data: Any
) -> None:
    with connected(backend) as (tx, rx):
        tx.send_blocking(data)
        tx.send_multipart_blocking([data, b"", data])
        expected = memoryview(data).tobytes()
        assert rx.recv_blocking(timeout=20) == expected
        received = rx.recv_multipart_blocking(timeout=20)
        assert received == [expected, b"", expected]


def test_message_of_one_empty_part_arrives(backend: ModuleType) -> None:
    with connected(backend) as (tx, rx):
        tx.send_nowait(b"")
        tx.send_multipart_nowait([b""])
        assert tx.send_many_nowait([b"", b""]) == 2
        assert [rx.recv_blocking(timeout=20) for _ in range(4)] == [b""] * 4


@pytest.mark.parametrize("parts", [[], (), bytearray(), {}])
def test_message_without_parts_is_misuse(backend: ModuleType, parts: Any) -> None:
    with pair(backend) as (tx, _):
        for send in (
            tx.send_multipart,
            tx.send_multipart_nowait,
            tx.send_multipart_blocking,
        ):
            with pytest.raises(LocalProtocolError):
                resolve(send(parts))
        assert tx.statistics().num_send_queued == 0


@pytest.mark.parametrize("data", ["text", 5, None, [b"x"], 1.5])
def test_what_is_no_buffer_is_a_type_error(backend: ModuleType, data: Any) -> None:
    with pair(backend) as (tx, rx):
        closed = backend.Context()
        closed_tx = closed.socket(backend.PUSH)
        closed.close()
        for socket in (tx, rx, closed_tx):
            for name in ("send", "send_nowait", "send_blocking"):
                with pytest.raises(TypeError):
                    resolve(getattr(socket, name)(data))
            for name in ("send_multipart_nowait", "send_many_nowait"):
                with pytest.raises(TypeError):
                    getattr(socket, name)([b"fine", data])
        assert tx.statistics().num_send_queued == 0


@pytest.mark.parametrize("parts", [None, 5, "text", b"text", [None], ["x"]])
def test_what_holds_no_buffers_is_a_type_error(backend: ModuleType, parts: Any) -> None:
    with pair(backend) as (tx, _):
        for name in ("send_multipart", "send_many"):
            for send in (getattr(tx, name), getattr(tx, name + "_nowait")):
                with pytest.raises(TypeError):
                    resolve(send(parts))
        assert tx.statistics().num_send_queued == 0


@pytest.mark.parametrize("timeout", OUT_OF_RANGE)
def test_timeout_out_of_range_is_a_config_error(
    backend: ModuleType, timeout: float
) -> None:
    with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH, linger=0), ctx.socket(backend.PULL)
        for call in (
            partial(ctx.run_once, timeout),
            partial(tx.send_blocking, b"x", timeout=timeout),
            partial(tx.send_multipart_blocking, [b"x"], timeout=timeout),
            partial(rx.recv_blocking, timeout=timeout),
            partial(rx.recv_multipart_blocking, timeout=timeout),
            partial(rx.recv_many_blocking, timeout=timeout),
            partial(rx.close, linger=timeout),
        ):
            with pytest.raises(ConfigError):
                call()
        assert tx.statistics().num_send_queued == 0
        assert not rx.closed


@pytest.mark.parametrize("timeout", [math.inf, 1e300, 10**6])
def test_timeout_without_end_is_allowed(backend: ModuleType, timeout: float) -> None:
    with backend.Context() as ctx:
        seconds = {"linger": timeout, "handshake_timeout": timeout}
        tx = ctx.socket(backend.PUSH, reconnect_max=timeout, **seconds)
        rx = ctx.socket(backend.PULL, **seconds)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        tx.send_blocking(b"x", timeout=timeout)
        assert rx.recv_blocking(timeout=timeout) == b"x"
        tx.send_nowait(b"y")
        assert rx.recv_many_blocking(timeout=timeout) == [b"y"]


@pytest.mark.usefixtures("any_loop")
async def test_handshake_without_end_is_allowed_on_a_loop(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH, handshake_timeout=math.inf)
        rx = ctx.socket(backend.PULL, handshake_timeout=math.inf)
        tx.connect(rx.bind("tcp://127.0.0.1:0"))
        await tx.send(b"x")
        assert await rx.recv() == b"x"


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0), (-1, 1), (1, -1)])
def test_recv_many_of_nothing_is_a_config_error(
    backend: ModuleType, bounds: tuple[int, int]
) -> None:
    with pair(backend) as (_, rx):
        for call in (
            partial(rx.recv_many, *bounds),
            partial(rx.recv_many_nowait, *bounds),
            partial(rx.recv_many_blocking, *bounds, timeout=0),
        ):
            with pytest.raises(ConfigError):
                resolve(call())


@pytest.mark.parametrize("number", [1.5, "1", None])
def test_count_that_is_no_integer_is_a_type_error(
    backend: ModuleType, number: Any
) -> None:
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        calls = [
            partial(rx.recv_many_nowait, number),
            partial(rx.recv_many_nowait, 1, number),
            partial(ctx.socket, number),
        ]
        calls += [
            partial(ctx.socket, backend.PULL, **{name: number})
            for name in ("hwm_messages", "hwm_bytes", "max_parts", "max_peers")
        ]
        for call in calls:
            with pytest.raises(TypeError):
                call()


@pytest.mark.parametrize("routing_id", ["text", 5, None])
def test_routing_id_that_is_no_bytes_is_a_type_error(
    backend: ModuleType, routing_id: Any
) -> None:
    with backend.Context() as ctx, pytest.raises(TypeError):
        ctx.socket(backend.DEALER, routing_id=routing_id)


@pytest.mark.parametrize("endpoint", [None, 5, b"tcp://127.0.0.1:0"])
def test_endpoint_that_is_no_text_is_a_type_error(
    backend: ModuleType, endpoint: Any
) -> None:
    with pair(backend) as (_, rx):
        for call in (rx.bind, rx.connect, rx.unbind, rx.disconnect):
            with pytest.raises(TypeError):
                call(endpoint)


@pytest.mark.parametrize("host", ["a" * 70, "a..b"])
def test_host_that_cannot_be_a_name_is_an_os_error_of_bind(
    backend: ModuleType, host: str
) -> None:
    with pair(backend) as (tx, rx):
        with pytest.raises(OSError, match=r".+") as caught:
            rx.bind(f"tcp://{host}:1")
        assert not isinstance(caught.value, BusductError)
        tx.connect(f"tcp://{host}:1")
        assert tx.statistics().num_retries == 1


def test_sequence_of_unknown_length_is_sent(backend: ModuleType) -> None:
    class Messages:
        def __iter__(self) -> Iterator[bytes]:
            return iter((b"a", b"b"))

    with pair(backend) as (tx, _):
        assert tx.send_many_nowait(Messages()) == 2
        tx.send_multipart_nowait(Messages())
        assert tx.statistics().num_send_queued == 3


async def test_socket_as_context_manager_closes_itself(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        async with ctx.socket(backend.PULL) as rx:
            assert not rx.closed
        assert rx.closed
        with pytest.raises(ClosedError):
            await rx.recv()
        # A socket that is closed already may still be entered.
        async with rx as same:
            assert same is rx


async def test_error_within_a_socket_passes_and_closes_it(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rx, other = ctx.socket(backend.PULL), ctx.socket(backend.PULL)
        with pytest.raises(KeyError):
            async with rx:
                raise KeyError
        with pytest.raises(KeyError), other:
            raise KeyError
        assert rx.closed
        assert other.closed


async def test_error_within_a_context_passes_and_closes_it(backend: ModuleType) -> None:
    ctx = backend.Context()
    with pytest.raises(KeyError):
        async with ctx:
            raise KeyError
    assert ctx.closed
