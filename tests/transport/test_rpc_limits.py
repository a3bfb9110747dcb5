"""Remote calls at their limits: an error for who is over, and only for them."""

import asyncio
from types import ModuleType
from typing import Any

import pytest
from tests.transport.rpc_service import calling, serving
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    ConfigError,
    FrameTooLargeError,
    FullError,
    PeerLostError,
    RemoteError,
    WaitTimeoutError,
)
from busduct.transport.rpc import RpcClient, RpcLimits
from busduct.transport.rpc._wire import Kind, encode, pack_header

pytestmark = pytest.mark.usefixtures("any_loop")

KIB, MIB = 1 << 10, 1 << 20


def request(request_id: int, method: str, **parameters: Any) -> list[bytes]:
    body = encode({"method": method, "parameters": parameters})
    return [pack_header(Kind.REQUEST, request_id), body]


async def test_no_more_calls_run_at_once_than_allowed(backend: ModuleType) -> None:
    limits = RpcLimits(max_running=3)
    async with (
        serving(backend, limits=limits) as (service, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        calls = [asyncio.ensure_future(client.call("hold")) for _ in range(20)]
        await eventually(lambda: server.statistics().num_queued == 17)
        assert server.statistics().num_running == 3
        # Plain functions do not wait for those.
        assert await client.call("ping") == "pong"
        service.gate.set()
        assert await asyncio.gather(*calls) == ["held"] * 20
        assert service.most_running == 3


async def test_call_over_the_queue_is_refused(backend: ModuleType) -> None:
    limits = RpcLimits(max_running=1, max_queued=2)
    async with (
        serving(backend, limits=limits) as (service, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        calls = [asyncio.ensure_future(client.call("hold")) for _ in range(3)]
        await eventually(lambda: server.statistics().num_queued == 2)
        with pytest.raises(RemoteError) as caught:
            await client.call("hold")
        assert caught.value.type == "OverloadedError"
        assert server.statistics().num_overloaded == 1
        service.gate.set()
        assert await asyncio.gather(*calls) == ["held"] * 3


@pytest.mark.parametrize(
    "limits",
    [
        RpcLimits(max_running=1, max_queued_per_client=4),
        RpcLimits(max_running=1, max_queued_bytes_per_client=4 * len(b"x" * 13)),
    ],
    ids=["calls", "bytes"],
)
async def test_greedy_client_leaves_room_for_others(
    backend: ModuleType, limits: RpcLimits
) -> None:
    async with (
        serving(backend, limits=limits) as (service, server, endpoint),
        calling(backend, endpoint) as greedy,
        calling(backend, endpoint) as modest,
    ):
        many = [asyncio.ensure_future(greedy.call("hold")) for _ in range(50)]
        await eventually(lambda: server.statistics().num_overloaded >= 45)
        one = asyncio.ensure_future(modest.call("add", a=1))
        await eventually(lambda: server.statistics().num_queued >= 2)
        service.gate.set()
        assert await one == 3
        results = await asyncio.gather(*many, return_exceptions=True)
        refused = [error for error in results if isinstance(error, RemoteError)]
        assert {error.type for error in refused} == {"OverloadedError"}
        assert len(refused) + results.count("held") == 50


async def test_clients_take_turns(backend: ModuleType) -> None:
    order = []
    async with (
        serving(backend, limits=RpcLimits(max_running=1)) as (service, server, at),
        calling(backend, at) as first,
        calling(backend, at) as second,
    ):

        @server.method()
        async def note(name: str) -> None:
            order.append(name)

        held = asyncio.ensure_future(first.call("hold"))
        await eventually(lambda: service.num_running == 1)
        calls = [asyncio.ensure_future(first.call("note", name="a")) for _ in range(9)]
        await eventually(lambda: server.statistics().num_queued == 9)
        calls.append(asyncio.ensure_future(second.call("note", name="b")))
        await eventually(lambda: server.statistics().num_queued == 10)
        service.gate.set()
        await asyncio.gather(held, *calls)
        assert order.index("b") == 1


async def test_client_over_its_pending_calls_is_told(backend: ModuleType) -> None:
    async with (
        serving(backend) as (service, _, endpoint),
        calling(backend, endpoint, max_pending=2) as client,
    ):
        calls = [asyncio.ensure_future(client.call("hold")) for _ in range(2)]
        await eventually(lambda: service.num_running == 2)
        with pytest.raises(FullError, match="2 pending calls"):
            await client.call("ping")
        service.gate.set()
        assert await asyncio.gather(*calls) == ["held"] * 2
        assert await client.call("ping") == "pong"


async def test_cancellations_to_a_server_that_does_not_read_are_bounded(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx, backend.Context() as other:
        # It takes what fits into its queue, and then no more.
        deaf = other.socket(backend.ROUTER, hwm_messages=1)
        endpoint = deaf.bind("tcp://127.0.0.1:0")
        async with RpcClient(
            ctx, endpoint, max_pending=8, hwm_messages=1, send_buffer_bytes=4096
        ) as client:
            errors = []
            # Requests so large that the kernel's buffers are soon full.
            while not any(isinstance(error, FullError) for error in errors):
                try:
                    await client.call("echo", value=bytes(4 * MIB), timeout=0.02)
                except (WaitTimeoutError, FullError) as error:
                    errors.append(error)
                    assert len(errors) < 200
                if not client.statistics().num_pending and len(errors) > 20:
                    break
            assert client.statistics().num_pending == 0
            assert client._link.num_unsent_cancels <= 8


async def test_request_too_large_for_the_client_is_not_sent(
    backend: ModuleType,
) -> None:
    async with (
        serving(backend) as (_, server, endpoint),
        calling(backend, endpoint, max_message_bytes=64 * KIB) as client,
    ):
        with pytest.raises(FrameTooLargeError):
            await client.call("echo", value=bytes(64 * KIB))
        assert await client.call("ping") == "pong"
        assert server.statistics().num_requests == 1


async def test_request_too_large_for_the_server_hurts_that_client_only(
    backend: ModuleType,
) -> None:
    async with (
        serving(backend, max_message_bytes=64 * KIB) as (service, _, endpoint),
        calling(backend, endpoint) as large,
        calling(backend, endpoint) as honest,
    ):
        held = asyncio.ensure_future(honest.call("hold"))
        await eventually(lambda: service.num_running == 1)
        with pytest.raises(PeerLostError):
            await large.call("echo", value=bytes(64 * KIB))
        assert await large.call("ping") == "pong"
        service.gate.set()
        assert await held == "held"


async def test_result_too_large_is_an_error(backend: ModuleType) -> None:
    async with (
        serving(backend, max_message_bytes=64 * KIB) as (_, server, endpoint),
        calling(backend, endpoint) as client,
    ):

        @server.method()
        def zeros(count: int) -> bytes:
            return bytes(count)

        with pytest.raises(RemoteError, match="ResultTooLargeError: message of"):
            await client.call("zeros", count=64 * KIB)
        assert await client.call("zeros", count=2) == b"\0\0"


@pytest.mark.parametrize("is_plain", [False, True], ids=["async", "plain"])
async def test_client_that_does_not_read_holds_up_nobody(
    backend: ModuleType, is_plain: bool
) -> None:
    limits = RpcLimits(max_running=4, max_queued_per_client=50)
    num_calls = 30
    async with (
        serving(backend, limits=limits, hwm_messages=2) as (_, server, endpoint),
        calling(backend, endpoint) as honest,
        backend.Context() as ctx,
    ):
        num_made = 0

        def large() -> bytes:
            nonlocal num_made
            num_made += 1
            return bytes(4 * MIB)

        async def large_later() -> bytes:
            return large()

        server.add(large if is_plain else large_later, name="large")

        deaf = ctx.socket(backend.DEALER, hwm_messages=1, recv_buffer_bytes=4096)
        deaf.connect(endpoint)
        for number in range(num_calls):
            await deaf.send_multipart(request(number, "large"))
        await eventually(lambda: server.statistics().num_requests == num_calls)
        await eventually(lambda: server.statistics().num_running == 0)
        # Those that run when the replies begin to wait, and no more.
        assert num_made < 20
        assert await honest.call("add", a=1) == 3
        assert num_made < 20

        # It reads again, and gets an answer to everything.
        answered = set()
        for _ in range(num_calls):
            header, _ = await deaf.recv_multipart()
            answered.add(int.from_bytes(header[1:], "big"))
        assert answered == set(range(num_calls))
        assert server.statistics().num_replies_dropped == 0


async def test_refusals_for_a_client_that_does_not_read_are_bounded(
    backend: ModuleType,
) -> None:
    limits = RpcLimits(max_running=1, max_queued_per_client=5)
    async with (
        serving(backend, limits=limits, hwm_messages=1) as (_, server, endpoint),
        backend.Context() as ctx,
    ):

        @server.method()
        def large() -> bytes:
            return bytes(16 * MIB)

        deaf = ctx.socket(backend.DEALER, hwm_messages=1)
        deaf.connect(endpoint)
        for number in range(4):
            await deaf.send_multipart(request(number, "large"))
        for number in range(4, 100):
            await deaf.send_multipart(request(number, "nope"))
        await eventually(lambda: server.statistics().num_requests == 100)
        assert server.statistics().num_replies_dropped > 50


async def test_calls_of_a_deaf_client_that_leaves_are_forgotten(
    backend: ModuleType,
) -> None:
    limits = RpcLimits(max_running=2)
    async with serving(backend, limits=limits, hwm_messages=1) as (_, server, endpoint):

        @server.method()
        async def large() -> bytes:
            return bytes(16 * MIB)

        async with backend.Context() as ctx:
            deaf = ctx.socket(backend.DEALER, hwm_messages=1)
            deaf.connect(endpoint)
            for number in range(10):
                await deaf.send_multipart(request(number, "large"))
            await eventually(lambda: server.statistics().num_queued > 0)
        await eventually(lambda: server.statistics().num_queued == 0)
        assert server.statistics().num_replies_dropped > 0
        assert not server._dispatcher._replies._overflows
        await settle()
        assert server.statistics().num_running == 0


@pytest.mark.parametrize("value", [-1, 1.5, True, None])
def test_limit_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="max_queued is"):
        RpcLimits(max_queued=value)


def test_at_least_one_call_runs() -> None:
    with pytest.raises(ConfigError, match="whole number from 1"):
        RpcLimits(max_running=0)
