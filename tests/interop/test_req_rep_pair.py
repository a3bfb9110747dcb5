"""REQ, REP and PAIR between our sockets and libzmq's."""

import asyncio
from types import ModuleType

import pytest
import zmq
from tests.interop.libzmq import (
    Foreign,
    bind,
    join,
    recv,
    to_ours,
    to_theirs,
    while_stirring,
)
from tests.transport.waiting import eventually

BODIES = [[b"one"], [b""], [b"two", b"", b"parts"], [bytes(100_000)]]
CORRELATE = {"REQ_CORRELATE": 1, "REQ_RELAXED": 1}


@pytest.mark.parametrize("correlate", [False, True])
@pytest.mark.parametrize("kind", ["REP", "ROUTER"])
async def test_req_asks_libzmq(
    backend: ModuleType,
    foreign: Foreign,
    address: str,
    ours_binds: bool,
    kind: str,
    correlate: bool,
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.REQ, req_correlate=correlate)
        theirs = foreign.socket(getattr(zmq, kind))
        join(ours, theirs, address, ours_binds)
        for body in BODIES:
            await ours.send_multipart(body)
            request = await recv(theirs)
            assert request[-len(body) :] == body
            theirs.send_multipart([*request[: -len(body)], b"re", *body])
            assert await ours.recv_multipart() == [b"re", *body]


@pytest.mark.parametrize("options", [{}, CORRELATE], ids=["plain", "correlated"])
async def test_rep_answers_libzmqs_req(
    backend: ModuleType,
    foreign: Foreign,
    address: str,
    ours_binds: bool,
    options: dict[str, int],
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.REP)
        theirs = foreign.socket(zmq.REQ, **options)
        join(ours, theirs, address, ours_binds)
        for body in BODIES:
            assert await to_ours(theirs, ours, [body]) == [body]
            await ours.send_multipart([b"re", *body])
            assert await recv(theirs) == [b"re", *body]


async def test_rep_answers_libzmqs_dealer(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.REP), foreign.socket(zmq.DEALER)
        join(ours, theirs, address, ours_binds)
        for envelope in ([b""], [b"hop", b"another", b""]):
            received = await to_ours(theirs, ours, [[*envelope, b"ask"]])
            assert received == [[b"ask"]]
            await ours.send(b"re")
            assert await recv(theirs) == [*envelope, b"re"]


async def test_rep_answers_several_of_libzmqs_req(
    backend: ModuleType, foreign: Foreign, address: str
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.REP)
        endpoint = ours.bind(address)
        askers = [foreign.socket(zmq.REQ) for _ in range(5)]
        for index, req in enumerate(askers):
            req.connect(endpoint)
            req.send(b"%d" % index)
        for _ in askers:
            await ours.send(b"for " + await ours.recv())
        replies = await asyncio.gather(*map(recv, askers))
        assert replies == [[b"for %d" % index] for index in range(5)]


async def test_pair_talks_with_libzmqs(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    messages = [[b"%d" % index, b"", bytes(index)] for index in range(500)]
    async with backend.Context() as ctx:
        ours, theirs = ctx.socket(backend.PAIR), foreign.socket(zmq.PAIR)
        join(ours, theirs, address, ours_binds)
        assert await to_theirs(ours, theirs, messages) == messages
        assert await to_ours(theirs, ours, messages) == messages


async def test_probe_tells_libzmqs_router_who_is_there(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.DEALER, routing_id=b"me", probe_router=True)
        theirs = foreign.socket(zmq.ROUTER)
        join(ours, theirs, address, ours_binds)
        assert await recv(theirs) == [b"me", b""]


async def test_probe_of_libzmqs_dealer_comes_to_our_router(
    backend: ModuleType, foreign: Foreign, address: str, ours_binds: bool
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.ROUTER)
        theirs = foreign.socket(zmq.DEALER, ROUTING_ID=b"me", PROBE_ROUTER=1)
        join(ours, theirs, address, ours_binds)
        received = await while_stirring(theirs, ours.recv_multipart())
        assert received == [b"me", b""]


@pytest.mark.parametrize(
    ("our_kind", "wrong", "valid"),
    [
        ("PUB", "PULL", "SUB and XSUB"),
        ("SUB", "SUB", "PUB and XPUB"),
        ("REP", "ROUTER", "DEALER and REQ"),
        ("REQ", "DEALER", "REP and ROUTER"),
        ("PAIR", "PUSH", "PAIR"),
    ],
)
async def test_libzmq_of_a_kind_that_does_not_fit_is_told_which_do(
    backend: ModuleType,
    foreign: Foreign,
    address: str,
    our_kind: str,
    wrong: str,
    valid: str,
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(getattr(backend, our_kind))
        theirs = foreign.socket(getattr(zmq, wrong))
        ours.connect(bind(theirs, address))
        (error, *_) = await eventually(ours.recent_errors)
        assert f"it speaks with {valid}" in str(error)
