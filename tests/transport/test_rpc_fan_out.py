"""One remote call to many servers."""

import asyncio
from contextlib import AsyncExitStack
from types import ModuleType

import pytest
from tests.transport.rpc_service import Service, calling, serving
from tests.transport.waiting import eventually

from busduct.errors import (
    ConfigError,
    PeerLostError,
    RemoteError,
    WaitTimeoutError,
)
from busduct.transport.rpc import RpcClient, RpcServer, fan_out

pytestmark = pytest.mark.usefixtures("any_loop")

NOBODY = "tcp://127.0.0.1:1"


def zero() -> int:
    return 0


def one() -> int:
    return 1


def two() -> int:
    return 2


async def serve_many(
    stack: AsyncExitStack, backend: ModuleType, count: int
) -> list[tuple[Service, RpcServer, str]]:
    return [await stack.enter_async_context(serving(backend)) for _ in range(count)]


async def test_results_come_in_the_order_of_the_servers(backend: ModuleType) -> None:
    async with AsyncExitStack() as stack:
        servers = await serve_many(stack, backend, 3)
        clients = []
        for rank, (_, server, endpoint) in zip((zero, one, two), servers, strict=True):
            server.add(rank, name="rank")
            client = await stack.enter_async_context(calling(backend, endpoint))
            clients.append(client)
        outcomes = await fan_out(clients, "rank")
        assert [outcome.result for outcome in outcomes] == [0, 1, 2]
        assert [o.endpoint for o in outcomes] == [
            endpoint for _, _, endpoint in servers
        ]
        assert await fan_out([], "ping") == []


async def test_failure_of_one_leaves_the_results_of_the_others(
    backend: ModuleType,
) -> None:
    async with AsyncExitStack() as stack, backend.Context() as ctx:
        servers = await serve_many(stack, backend, 3)
        servers[1][1].add(servers[1][0].fail, name="only_here")
        slow = RpcClient(ctx, servers[2][2])
        gone = RpcClient(ctx, NOBODY, connect_timeout=0.05)
        for client in (slow, gone):
            stack.push_async_callback(client.aclose)
        targets = [servers[0][2], servers[1][2], slow, gone]
        for service, _, _ in servers[:2]:
            service.gate.set()
        outcomes = await fan_out(targets, "hold", context=ctx, timeout=2.0)
        assert [outcome.result for outcome in outcomes] == ["held", "held", None, None]
        assert isinstance(outcomes[2].error, WaitTimeoutError)
        assert isinstance(outcomes[3].error, PeerLostError)
        assert outcomes[0].error is None
        await eventually(lambda: servers[2][0].num_cancelled == 1)

        outcomes = await fan_out(targets[:2], "only_here", context=ctx, kind="meant")
        errors = [outcome.error for outcome in outcomes]
        assert isinstance(errors[0], RemoteError)
        assert isinstance(errors[1], RemoteError)
        assert errors[0].type == "UnknownMethodError"
        assert errors[1].type == "NoSuchModelError"


async def test_first_failure_cancels_the_others_if_asked(backend: ModuleType) -> None:
    async with AsyncExitStack() as stack, backend.Context() as ctx:
        servers = await serve_many(stack, backend, 2)

        async def fail_once_the_other_runs() -> None:
            await eventually(lambda: servers[0][0].num_running == 1)
            raise LookupError

        servers[1][1].add(fail_once_the_other_runs, name="run")
        servers[0][1].add(servers[0][0].hold, name="run")
        endpoints = [endpoint for _, _, endpoint in servers]
        with pytest.raises(RemoteError, match="InternalError") as caught:
            await fan_out(endpoints, "run", context=ctx, fail_fast=True)
        assert caught.value.__notes__ == [f"from {endpoints[1]}"]
        await eventually(lambda: servers[0][0].num_cancelled == 1)


async def test_cancelling_cancels_every_call(backend: ModuleType) -> None:
    async with AsyncExitStack() as stack, backend.Context() as ctx:
        servers = await serve_many(stack, backend, 2)
        clients = [
            await stack.enter_async_context(RpcClient(ctx, endpoint))
            for _, _, endpoint in servers
        ]
        waiting = asyncio.ensure_future(fan_out(clients, "hold"))
        await eventually(lambda: all(service.num_running for service, _, _ in servers))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: all(s.num_cancelled == 1 for s, _, _ in servers))


async def test_misuse_is_raised(backend: ModuleType) -> None:
    async with serving(backend) as (_, _, endpoint), backend.Context() as ctx:
        with pytest.raises(ConfigError, match="no context"):
            await fan_out([endpoint], "ping")
        with pytest.raises(ConfigError):
            await fan_out(["nowhere"], "ping", context=ctx)
        with pytest.raises(TypeError):
            await fan_out([endpoint], "echo", context=ctx, value=object())
