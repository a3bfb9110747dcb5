"""DEALER and ROUTER between our sockets and libzmq's; REQ and REP at their ends."""

import asyncio
import os
from types import ModuleType

import zmq
from tests.interop.libzmq import Foreign, join, recv, to_ours, to_theirs

REQUESTS = [[b"first", b"", os.urandom(300)], [b""], [os.urandom(100_000)]] * 50


async def test_router_answers_libzmqs_dealer(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.ROUTER), foreign.socket(zmq.DEALER)
        join(ours, theirs, address, ours_binds)
        received = await to_ours(theirs, ours, REQUESTS)
        assert [parts[1:] for parts in received] == REQUESTS
        assert await to_theirs(ours, theirs, received) == REQUESTS


async def test_dealer_asks_libzmqs_router(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.DEALER), foreign.socket(zmq.ROUTER)
        join(ours, theirs, address, ours_binds)
        received = await to_theirs(ours, theirs, REQUESTS)
        assert [parts[1:] for parts in received] == REQUESTS
        assert await to_ours(theirs, ours, received) == REQUESTS


async def test_frame_of_64_mib_goes_there_and_back(
    backend: ModuleType, foreign: Foreign, address: str
) -> None:
    payload = os.urandom(1 << 20) * 64
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.ROUTER), foreign.socket(zmq.DEALER)
        join(ours, theirs, address, ours_binds=True)
        (request,) = await to_ours(theirs, ours, [[payload]])
        (reply,) = await to_theirs(ours, theirs, [request])
        # A comparison in the assert would print both.
        is_same = reply == [payload]
        assert is_same


async def test_router_sees_the_routing_id_that_libzmq_announces(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.ROUTER)
        theirs = foreign.socket(zmq.DEALER, ROUTING_ID=b"worker-7")
        join(ours, theirs, address, ours_binds)
        assert await to_ours(theirs, ours, [[b"hello"]]) == [[b"worker-7", b"hello"]]
        await ours.send_multipart([b"worker-7", b"welcome"])
        assert await recv(theirs) == [b"welcome"]


async def test_libzmqs_router_sees_the_routing_id_that_we_announce(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.DEALER, routing_id=b"engine-0")
        theirs = foreign.socket(zmq.ROUTER)
        join(ours, theirs, address, ours_binds)
        assert await to_theirs(ours, theirs, [[b"hi"]]) == [[b"engine-0", b"hi"]]
        theirs.send_multipart([b"engine-0", b"welcome"])
        assert await ours.recv() == b"welcome"


async def test_router_keeps_libzmqs_dealers_apart(
    backend: ModuleType, foreign: Foreign, address: str
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.ROUTER)
        endpoint = ours.bind(address)
        dealers = [foreign.socket(zmq.DEALER) for _ in range(5)]
        for index, dealer in enumerate(dealers):
            dealer.connect(endpoint)
            dealer.send(b"%d" % index)
        for _ in dealers:
            routing_id, body = await ours.recv_multipart()
            await ours.send_multipart([routing_id, b"for " + body])
        replies = await asyncio.gather(*map(recv, dealers))
        assert replies == [[b"for %d" % index] for index in range(5)]


async def test_router_answers_libzmqs_req(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.ROUTER), foreign.socket(zmq.REQ)
        join(ours, theirs, address, ours_binds)
        for body in (b"one", b"", b"three"):
            ((routing_id, *envelope),) = await to_ours(theirs, ours, [[body]])
            assert envelope == [b"", body]
            await ours.send_multipart([routing_id, b"", b"re: " + body])
            assert await recv(theirs) == [b"re: " + body]


async def test_dealer_asks_libzmqs_rep(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.DEALER), foreign.socket(zmq.REP)
        join(ours, theirs, address, ours_binds)
        for body in (b"one", b"", b"three"):
            await ours.send_multipart([b"", body])
            assert await recv(theirs) == [body]
            theirs.send(b"re: " + body)
            assert await ours.recv_multipart() == [b"", b"re: " + body]
