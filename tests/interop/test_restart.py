"""One of the two goes away and comes back: what is sent afterwards arrives, once."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import zmq
from tests.interop.libzmq import Foreign, bind, join, to_ours, to_theirs
from tests.transport.waiting import eventually

FIRST = [[b"first %d" % index] for index in range(200)]
SECOND = [[b"second %d" % index] for index in range(200)]
QUICK = {"RECONNECT_IVL": 20}


@pytest.fixture(params=["ipc", "tcp"])
def address(request: pytest.FixtureRequest, ipc_dir: Path, own_port: int) -> str:
    """Give an endpoint that is nobody else's while no socket listens there."""
    is_ipc = request.param == "ipc"
    return f"ipc://{ipc_dir}/a" if is_ipc else f"tcp://127.0.0.1:{own_port}"


async def rebind(theirs: zmq.Socket[bytes], endpoint: str) -> None:
    """Bind again what another libzmq socket is just giving up, on its own thread."""

    def is_bound() -> bool:
        with suppress(zmq.ZMQError):
            bind(theirs, endpoint)
            return True
        return False

    await eventually(is_bound)


async def test_libzmqs_pull_comes_back(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.PUSH, reconnect_interval=0.02)
        theirs = foreign.socket(zmq.PULL)
        endpoint = join(ours, theirs, address, ours_binds)
        assert await to_theirs(ours, theirs, FIRST) == FIRST
        theirs.close()
        await eventually(lambda: ours.statistics().num_peers == 0)
        await ours.send_multipart([b"while it was away"])
        again = foreign.socket(zmq.PULL)
        if ours_binds:
            again.connect(endpoint)
        else:
            await rebind(again, endpoint)
        expected = [[b"while it was away"], *SECOND]
        assert await to_theirs(ours, again, SECOND) == expected[: len(SECOND)]
        assert again.recv_multipart() == expected[-1]
        assert again.poll(50) == 0


async def test_libzmqs_push_comes_back(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.PULL, reconnect_interval=0.02)
        theirs = foreign.socket(zmq.PUSH)
        endpoint = join(ours, theirs, address, ours_binds)
        assert await to_ours(theirs, ours, FIRST) == FIRST
        theirs.close()
        await eventually(lambda: ours.statistics().num_peers == 0)
        again = foreign.socket(zmq.PUSH)
        if ours_binds:
            again.connect(endpoint)
        else:
            await rebind(again, endpoint)
        assert await to_ours(again, ours, SECOND) == SECOND
        assert ours.recv_nowait() is None
        assert ours.statistics().num_messages_received == len(FIRST + SECOND)


async def test_our_pull_comes_back(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PULL), foreign.socket(zmq.PUSH, **QUICK)
        events = foreign.watch(theirs)
        endpoint = join(ours, theirs, address, ours_binds)
        assert await to_ours(theirs, ours, FIRST) == FIRST
        ours.close()
        await eventually(lambda: events.counts[zmq.EVENT_DISCONNECTED])
        again = ctx.socket(backend.PULL)
        again.bind(endpoint) if ours_binds else again.connect(endpoint)
        assert await to_ours(theirs, again, SECOND) == SECOND
        assert again.statistics().num_messages_received == len(SECOND)


async def test_our_push_comes_back(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PUSH), foreign.socket(zmq.PULL, **QUICK)
        endpoint = join(ours, theirs, address, ours_binds)
        assert await to_theirs(ours, theirs, FIRST) == FIRST
        ours.close()
        again = ctx.socket(backend.PUSH)
        again.bind(endpoint) if ours_binds else again.connect(endpoint)
        assert await to_theirs(again, theirs, SECOND) == SECOND
        assert theirs.poll(50) == 0


async def test_dealer_and_router_go_on_after_libzmqs_router_came_back(
    backend: ModuleType, foreign: Foreign, address: str
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(
            backend.DEALER, routing_id=b"engine-0", reconnect_interval=0.02
        )
        theirs = foreign.socket(zmq.ROUTER)
        endpoint = join(ours, theirs, address, ours_binds=False)
        await exchange(to_theirs(ours, theirs, FIRST), to_ours, theirs, ours)
        theirs.close()
        await eventually(lambda: ours.statistics().num_peers == 0)
        again = foreign.socket(zmq.ROUTER)
        await rebind(again, endpoint)
        await exchange(to_theirs(ours, again, SECOND), to_ours, again, ours)


async def test_router_and_dealer_go_on_after_our_router_came_back(
    backend: ModuleType, foreign: Foreign, address: str
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.ROUTER)
        theirs = foreign.socket(zmq.DEALER, ROUTING_ID=b"worker-7", **QUICK)
        events = foreign.watch(theirs)
        endpoint = join(ours, theirs, address, ours_binds=True)
        await exchange(to_ours(theirs, ours, FIRST), to_theirs, ours, theirs)
        ours.close()
        await eventually(lambda: events.counts[zmq.EVENT_DISCONNECTED])
        again = ctx.socket(backend.ROUTER)
        again.bind(endpoint)
        await exchange(to_ours(theirs, again, SECOND), to_theirs, again, theirs)


async def exchange(
    requests: Awaitable[list[list[bytes]]],
    answer: Callable[[Any, Any, list[list[bytes]]], Awaitable[list[list[bytes]]]],
    router: Any,
    dealer: Any,
) -> None:
    """Have the router send back all that it got, and compare."""
    received = await requests
    assert len({parts[0] for parts in received}) == 1
    bodies = [parts[1:] for parts in received]
    assert bodies in (FIRST, SECOND)
    assert await answer(router, dealer, received) == bodies
