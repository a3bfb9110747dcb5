"""Remote calls that end early: timeouts, cancellation, and sides that are gone."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tests.transport.rpc_service import calling, serving
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError, PeerLostError, RemoteError, WaitTimeoutError
from busduct.transport.rpc import RpcClient, RpcLimits
from busduct.transport.rpc._wire import decode_request

pytestmark = pytest.mark.usefixtures("any_loop")

SERVER = """
import asyncio, sys
from busduct._backend import load_backend
from busduct.transport.rpc import RpcServer

async def hold() -> None:
    await asyncio.Event().wait()

async def main(backend, endpoint):
    async with backend.Context() as ctx, RpcServer(ctx) as server:
        server.add(hold)
        server.add(lambda: "pong", name="ping")
        print(server.bind(endpoint), flush=True)
        await server.wait_closed()

asyncio.run(main(load_backend(sys.argv[1]), sys.argv[2]))
"""


CLIENT = """
import asyncio, sys
from busduct._backend import load_backend
from busduct.transport.rpc import RpcClient

async def main(backend, endpoint):
    async with backend.Context() as ctx, RpcClient(ctx, endpoint) as client:
        await client.call("hold")

asyncio.run(main(load_backend(sys.argv[1]), sys.argv[2]))
"""


def start(code: str, backend: ModuleType, endpoint: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, backend.BACKEND, endpoint]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def endpoint_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return (await asyncio.to_thread(process.stdout.readline)).strip()


def stop(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


async def test_timeout_cancels_the_call_at_the_server(
    backend: ModuleType, address: str
) -> None:
    async with (
        serving(backend, address) as (service, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        assert await client.call("ping") == "pong"
        with pytest.raises(WaitTimeoutError) as caught:
            await client.call("hold", timeout=0.05)
        assert caught.value.timeout == 0.05
        await eventually(lambda: service.num_cancelled == 1)
        assert server.statistics().num_cancelled == 1
        assert client.statistics().num_timeouts == 1
        assert client.statistics().num_cancels == 1
        assert await client.call("ping") == "pong"


async def test_timeout_of_the_client_is_that_of_its_calls(backend: ModuleType) -> None:
    async with (
        serving(backend) as (service, _, endpoint),
        calling(backend, endpoint, timeout=0.05) as client,
    ):
        with pytest.raises(WaitTimeoutError):
            await client.call("hold")
        with pytest.raises(WaitTimeoutError):
            await client.method("hold")()
        waiting = asyncio.ensure_future(client.method("hold", timeout=None)())
        await eventually(lambda: service.num_running == 1)
        service.gate.set()
        assert await waiting == "held"


async def test_cancelled_await_cancels_the_call_at_the_server(
    backend: ModuleType, address: str
) -> None:
    async with (
        serving(backend, address) as (service, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        waiting = asyncio.ensure_future(client.call("hold"))
        await eventually(lambda: service.num_started == 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: service.num_cancelled == 1)
        await eventually(lambda: server.statistics().num_running == 0)
        # The cancelled one is not answered, so nothing unexpected comes.
        assert await client.call("ping") == "pong"
        assert client.statistics().num_unexpected == 0


async def test_queued_call_that_is_cancelled_never_runs(backend: ModuleType) -> None:
    async with (
        serving(backend, limits=RpcLimits(max_running=1)) as (service, server, at),
        calling(backend, at) as client,
    ):
        first = asyncio.ensure_future(client.call("hold"))
        await eventually(lambda: service.num_started == 1)
        second = asyncio.ensure_future(client.call("hold"))
        await eventually(lambda: server.statistics().num_queued == 1)
        second.cancel()
        await eventually(lambda: server.statistics().num_queued == 0)
        service.gate.set()
        assert await first == "held"
        assert service.num_started == 1


async def test_call_cancelled_before_it_began_frees_its_place(
    backend: ModuleType,
) -> None:
    async with (
        serving(backend, limits=RpcLimits(max_running=1)) as (service, server, at),
        backend.Context() as ctx,
    ):
        dealer = ctx.socket(backend.DEALER)
        dealer.connect(at)
        request = [b"\x01" + bytes(8), b"\x81\xa6method\xa4hold"]
        # Both are there when the server looks, so the task never gets to run.
        await dealer.send_multipart(request)
        await dealer.send_multipart([b"\x03" + bytes(8)])
        await eventually(lambda: server.statistics().num_cancelled == 1)
        await eventually(lambda: server.statistics().num_running == 0)
        service.gate.set()
        await dealer.send_multipart(request)
        assert (await dealer.recv_multipart())[1] == b"\x81\xa6result\xa4held"


async def test_method_that_takes_too_long_is_cancelled(backend: ModuleType) -> None:
    async with (
        serving(backend) as (service, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        server.add(service.hold, name="hold_briefly", timeout=0.05)
        with pytest.raises(RemoteError) as caught:
            await client.call("hold_briefly")
        assert caught.value.type == "TimeoutError"
        assert caught.value.message == "method hold_briefly takes longer than 0.05 s"
        assert service.num_cancelled == 1


async def test_late_reply_is_counted(backend: ModuleType) -> None:
    async with (
        serving(backend) as (_, server, endpoint),
        calling(backend, endpoint) as client,
    ):
        started, ignored = asyncio.Event(), asyncio.Event()

        @server.method()
        async def stubborn() -> str:
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ignored.set()
            return "late"

        call = asyncio.ensure_future(client.call("stubborn"))
        # One that is given up before it has begun is never run.
        await started.wait()
        call.cancel()
        await ignored.wait()
        await eventually(lambda: server.statistics().num_running == 0)
        assert await client.call("ping") == "pong"
        # A call that nobody waits for is not answered at all.
        assert client.statistics().num_unexpected == 0


async def test_calls_of_a_client_that_is_gone_are_cancelled(
    backend: ModuleType, address: str
) -> None:
    limits = RpcLimits(max_running=2)
    async with (
        serving(backend, address, limits=limits) as (service, server, endpoint),
        calling(backend, endpoint) as other,
    ):
        async with calling(backend, endpoint) as client:
            calls = [asyncio.ensure_future(client.call("hold")) for _ in range(3)]
            await eventually(lambda: service.num_started == 2)
            await eventually(lambda: server.statistics().num_queued == 1)
            kept = asyncio.ensure_future(other.call("hold"))
            await eventually(lambda: server.statistics().num_queued == 2)
        await eventually(lambda: service.num_cancelled == 2)
        assert server.statistics().num_cancelled == 3
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, ClosedError)
        service.gate.set()
        assert await kept == "held"
        assert service.num_started == 3


async def test_killed_server_ends_every_call_that_waits(
    backend: ModuleType,
) -> None:
    process = start(SERVER, backend, "tcp://127.0.0.1:0")
    try:
        endpoint = await endpoint_of(process)
        async with calling(
            backend, endpoint, timeout=None, connect_timeout=2.0
        ) as client:
            assert await client.call("ping") == "pong"
            calls = [asyncio.ensure_future(client.call("hold")) for _ in range(20)]
            await settle()
            process.kill()
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, PeerLostError)
                assert error.peer == endpoint
            assert client.statistics().num_lost == 20
            with pytest.raises(PeerLostError):
                await client.call("ping")
    finally:
        stop(process)


async def test_stopped_server_counts_as_gone_by_heartbeat(backend: ModuleType) -> None:
    process = start(SERVER, backend, "tcp://127.0.0.1:0")
    try:
        endpoint = await endpoint_of(process)
        async with calling(
            backend, endpoint, timeout=None, heartbeat_interval=0.5
        ) as client:
            assert await client.call("ping") == "pong"
            process.send_signal(signal.SIGSTOP)
            with pytest.raises(PeerLostError):
                await client.call("ping")
    finally:
        stop(process)


async def test_replies_that_came_before_the_end_count(backend: ModuleType) -> None:
    num_calls = 300
    async with backend.Context() as ctx:
        other = backend.Context()
        router = other.socket(backend.ROUTER)
        async with RpcClient(ctx, router.bind("tcp://127.0.0.1:0")) as client:
            calls = [
                asyncio.ensure_future(client.call("ping")) for _ in range(num_calls + 1)
            ]
            requests = [await router.recv_multipart() for _ in calls]
            # Written at once, so that the client sees the end with the last reply.
            for peer, header, _ in requests[:num_calls]:
                reply = [peer, b"\x02" + header[1:], b"\x81\xa6result\x05"]
                router.send_multipart_nowait(reply)
            other.close()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert results[:num_calls] == [5] * num_calls
            assert isinstance(results[num_calls], PeerLostError)


async def test_client_goes_on_with_the_next_server(
    backend: ModuleType, own_port: int
) -> None:
    process = start(SERVER, backend, f"tcp://127.0.0.1:{own_port}")
    try:
        endpoint = await endpoint_of(process)
        async with calling(backend, endpoint) as client:
            held = asyncio.ensure_future(client.call("hold"))
            assert await client.call("ping") == "pong"
            stop(process)
            with pytest.raises(PeerLostError):
                await held
            process = start(SERVER, backend, endpoint)
            assert await endpoint_of(process) == endpoint
            assert await client.call("ping") == "pong"
    finally:
        stop(process)


async def test_requests_of_calls_that_ended_never_reach_the_next_server(
    backend: ModuleType, ipc: Callable[[str], str]
) -> None:
    endpoint = ipc("a")
    async with backend.Context() as ctx, backend.Context() as other:
        deaf = other.socket(backend.ROUTER, hwm_messages=1)
        deaf.bind(endpoint)
        options: Any = {"reconnect_interval": 0.01, "timeout": None}
        async with RpcClient(ctx, endpoint, **options) as client:
            # More than the kernel and the deaf one take.
            large = bytes(4 << 20)
            calls = [
                asyncio.ensure_future(client.call("echo", value=large))
                for _ in range(4)
            ]
            await eventually(lambda: deaf.statistics().num_recv_queued == 1)
            deaf.close(linger=0)
            for error in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(error, PeerLostError)
            router = other.socket(backend.ROUTER)
            router.bind(endpoint)
            later = asyncio.ensure_future(client.call("ping"))
            peer, header, body = await router.recv_multipart()
            assert decode_request(body).method == "ping"
            await router.send_multipart(
                [peer, b"\x02" + header[1:], b"\x81\xa6result\x05"]
            )
            assert await later == 5
            assert router.statistics().num_accepted == 1


async def test_calls_of_a_killed_client_are_cancelled(backend: ModuleType) -> None:
    async with serving(backend) as (service, _, endpoint):
        client = start(CLIENT, backend, endpoint)
        await eventually(lambda: service.num_started == 1)
        stop(client)
        await eventually(lambda: service.num_cancelled == 1)


async def test_call_without_a_server_ends(backend: ModuleType) -> None:
    async with calling(
        backend, "tcp://127.0.0.1:1", connect_timeout=0.05, timeout=None
    ) as client:
        with pytest.raises(PeerLostError, match=r"127\.0\.0\.1:1"):
            await client.call("ping")
        assert client.statistics().num_pending == 0
    async with calling(backend, "tcp://127.0.0.1:1", connect_timeout=30.0) as client:
        with pytest.raises(WaitTimeoutError):
            await client.call("ping", timeout=0.01)
        assert client.statistics().num_pending == 0


async def test_client_may_call_before_the_server_is_there(
    backend: ModuleType, ipc_dir: object
) -> None:
    endpoint = f"ipc://{ipc_dir}/late"
    async with calling(backend, endpoint, reconnect_interval=0.01) as client:
        early = asyncio.ensure_future(client.call("ping"))
        await settle()
        async with serving(backend, endpoint):
            assert await early == "pong"


async def test_closing_server_tells_its_callers(backend: ModuleType) -> None:
    limits = RpcLimits(max_running=1)
    async with backend.Context() as ctx:
        async with serving(backend, limits=limits) as (service, server, endpoint):
            client = RpcClient(ctx, endpoint)
            calls = [asyncio.ensure_future(client.call("hold")) for _ in range(2)]
            await eventually(lambda: server.statistics().num_queued == 1)
            await server.aclose()
            await server.aclose()
            await server.wait_closed()
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, RemoteError)
            assert error.type == "ClosedError"
        assert service.num_cancelled == 1
        await client.aclose()


async def test_server_does_not_wait_for_ever_for_a_call_that_goes_on(
    backend: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    end = asyncio.Event()
    async with serving(backend, close_timeout=0.05) as (_, server, endpoint):
        started = asyncio.Event()

        @server.method()
        async def stubborn() -> None:
            started.set()
            while not end.is_set():
                try:
                    await end.wait()
                except asyncio.CancelledError:
                    continue

        async with calling(backend, endpoint) as client:
            call = asyncio.ensure_future(client.call("stubborn"))
            await started.wait()
            await server.aclose()
            with pytest.raises(PeerLostError):
                await call
    assert "1 calls go on" in caplog.text
    end.set()
    await settle()


async def test_closed_context_ends_calls_and_server(backend: ModuleType) -> None:
    async with serving(backend) as (service, _, endpoint):
        ctx = backend.Context()
        client = RpcClient(ctx, endpoint)
        call = asyncio.ensure_future(client.call("hold"))
        await eventually(lambda: service.num_started == 1)
        await ctx.aclose()
        with pytest.raises(ClosedError, match="context"):
            await call
        await client.aclose()
        await eventually(lambda: service.num_cancelled == 1)
