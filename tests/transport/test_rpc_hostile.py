"""Remote calls amid hostile bytes: only who sent them is hurt."""

import asyncio
import itertools
import random
from types import ModuleType

import msgspec
import pytest
from tests.transport.rpc_service import calling, serving
from tests.transport.waiting import eventually

from busduct.errors import RemoteError, RemoteProtocolError
from busduct.transport.rpc import RpcClient, RpcServer
from busduct.transport.rpc._wire import (
    Kind,
    decode_reply,
    decode_request,
    pack_header,
    unpack_header,
)

pytestmark = pytest.mark.usefixtures("any_loop")

REQUEST = pack_header(Kind.REQUEST, 9)
REPLY = pack_header(Kind.REPLY, 1)
PING = b"\x81\xa6method\xa4ping"
DEEP = b"\x91" * 100_000


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"", b""],
        [REQUEST],
        [REQUEST, PING, b""],
        [REQUEST[:-1], PING],
        [REQUEST + b"\0", PING],
        [b"\0" + REQUEST[1:], PING],
        [b"\xff" + REQUEST[1:], PING],
        [pack_header(Kind.REPLY, 9), PING],
        [pack_header(Kind.CANCEL, 9), PING],
    ],
    ids=str,
)
async def test_malformed_message_is_dropped_by_the_server(
    backend: ModuleType, frames: list[bytes]
) -> None:
    async with (
        serving(backend) as (_, server, endpoint),
        calling(backend, endpoint) as honest,
        backend.Context() as ctx,
    ):
        dealer = ctx.socket(backend.DEALER)
        dealer.connect(endpoint)
        for _ in range(3):
            await dealer.send_multipart(frames)
        await eventually(lambda: server.statistics().num_malformed == 3)
        assert await honest.call("ping") == "pong"
        await dealer.send_multipart([REQUEST, PING])
        assert (await dealer.recv_multipart())[1] == b"\x81\xa6result\xa4pong"


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (b"", "InvalidRequestError"),
        (b"\xc1", "InvalidRequestError"),
        (PING[:-1], "InvalidRequestError"),
        (PING + b"\0", "InvalidRequestError"),
        (b"\x80", "InvalidRequestError"),
        (b"\x81\xa6method\x01", "InvalidRequestError"),
        (b"\x81\xa6method\xa2\xff\xff", "InvalidRequestError"),
        (b"\x82\xa6method\xa4ping\xa1x\x01", "InvalidRequestError"),
        (b"\x82\xa6method\xa4ping\xaaparameters" + DEEP, "InvalidRequestError"),
        (b"\x82\xa6method\xa4ping\xaaparameters\x01", "InvalidParametersError"),
        (b"\x82\xa6method\xa4ping\xaaparameters\x81\x01\x01", "InvalidParametersError"),
        (b"\x81\xa6method\xda\xff\xff" + b"x" * 65535, "UnknownMethodError"),
    ],
    ids=range(12),
)
async def test_malformed_body_gets_an_error(
    backend: ModuleType, body: bytes, type_: str
) -> None:
    async with serving(backend) as (_, _, endpoint), backend.Context() as ctx:
        dealer = ctx.socket(backend.DEALER)
        dealer.connect(endpoint)
        await dealer.send_multipart([REQUEST, body])
        header, reply = await dealer.recv_multipart()
        assert unpack_header(header) == (Kind.REPLY, 9)
        error = msgspec.msgpack.decode(reply)["error"]
        assert error["type"] == type_
        assert len(error["message"]) < 5000


async def test_request_id_in_use_is_not_taken_twice(backend: ModuleType) -> None:
    async with serving(backend) as (service, server, endpoint), backend.Context() as c:
        dealer = c.socket(backend.DEALER)
        dealer.connect(endpoint)
        for _ in range(2):
            await dealer.send_multipart([REQUEST, b"\x81\xa6method\xa4hold"])
        await eventually(lambda: server.statistics().num_malformed == 1)
        service.gate.set()
        assert (await dealer.recv_multipart())[1] == b"\x81\xa6result\xa4held"
        assert service.num_started == 1


async def test_cancellation_of_what_is_not_there_is_ignored(
    backend: ModuleType,
) -> None:
    async with (
        serving(backend) as (service, server, endpoint),
        calling(backend, endpoint) as honest,
        backend.Context() as ctx,
    ):
        held = asyncio.ensure_future(honest.call("hold"))
        await eventually(lambda: service.num_running == 1)
        dealer = ctx.socket(backend.DEALER)
        dealer.connect(endpoint)
        # Also the ids that are another client's.
        for request_id in range(100):
            await dealer.send_multipart([pack_header(Kind.CANCEL, request_id)])
        await dealer.send_multipart([REQUEST, PING])
        await dealer.recv_multipart()
        assert server.statistics().num_cancelled == 0
        service.gate.set()
        assert await held == "held"


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [REPLY],
        [REPLY, b"", b""],
        [REPLY + b"\0", b""],
        [REQUEST, PING],
        [pack_header(Kind.CANCEL, 1)],
        [b"\xff" * 9, b""],
    ],
    ids=str,
)
async def test_malformed_message_is_dropped_by_the_client(
    backend: ModuleType, frames: list[bytes]
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        async with RpcClient(ctx, router.bind("tcp://127.0.0.1:0")) as client:
            call = asyncio.ensure_future(client.call("ping"))
            peer, header, _ = await router.recv_multipart()
            await router.send_multipart([peer, *frames])
            await eventually(lambda: client.statistics().num_malformed == 1)
            assert not call.done()
            await router.send_multipart(
                [peer, b"\x02" + header[1:], b"\x81\xa6result\x05"]
            )
            assert await call == 5


async def test_reply_to_no_call_is_counted(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        async with RpcClient(ctx, router.bind("tcp://127.0.0.1:0")) as client:
            call = asyncio.ensure_future(client.call("ping"))
            peer, header, _ = await router.recv_multipart()
            reply = [peer, b"\x02" + header[1:], b"\x81\xa6result\x05"]
            stranger = [peer, pack_header(Kind.REPLY, 99), b"\x81\xa6result\x06"]
            for frames in (stranger, reply, reply):
                await router.send_multipart(frames)
            assert await call == 5
            await eventually(lambda: client.statistics().num_unexpected == 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x80",
        b"\x81\xa6result",
        b"\x81\xa6result\x01\x01",
        b"\x82\xa6result\x01\xa1x\x01",
        b"\x82\xa6result\x01\xa5error\x82\xa4type\xa1x\xa7message\xa1x",
        b"\x81\xa5error\xa1x",
        b"\x81\xa5error\x81\xa4type\xa1x",
        b"\x81\xa6result\xa1\xff",
        b"\x81\xa6result\xd4\x05\x00",
        b"\x81\xa6result" + DEEP,
    ],
    ids=range(12),
)
async def test_malformed_reply_ends_its_call_only(
    backend: ModuleType, body: bytes
) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        async with RpcClient(ctx, router.bind("tcp://127.0.0.1:0")) as client:
            calls = [asyncio.ensure_future(client.call("ping")) for _ in range(2)]
            for reply in (body, b"\x81\xa6result\x05"):
                peer, header, _ = await router.recv_multipart()
                await router.send_multipart([peer, b"\x02" + header[1:], reply])
            with pytest.raises(RemoteProtocolError, match="malformed reply"):
                await calls[0]
            assert await calls[1] == 5


async def test_flood_lets_other_tasks_run(backend: ModuleType) -> None:
    num_messages = 900
    async with (
        backend.Context() as ctx,
        RpcServer(ctx) as server,
        backend.Context() as other,
    ):
        dealer = other.socket(backend.DEALER)
        dealer.connect(server.bind("tcp://127.0.0.1:0"))
        await dealer.send_many([b"junk"] * num_messages)
        # Turned over by hand, so that all is there before the server takes any.
        while server._socket.statistics().num_recv_queued < num_messages:
            other.run_once()
            ctx.run_once(0.1)
        seen = []
        while not seen or seen[-1] < num_messages:
            seen.append(server.statistics().num_malformed)
            await asyncio.sleep(0)
        steps = [after - before for before, after in itertools.pairwise(seen)]
        assert max(steps) <= 100


def test_random_bytes_decode_or_are_refused() -> None:
    chance = random.Random(11)
    seeds = [
        PING,
        b"\x81\xa6result\x05",
        b"\x81\xa5error\x82\xa4type\xa1x\xa7message\xa1x",
    ]
    for _ in range(5000):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        for decode in (decode_request, decode_reply):
            try:
                decode(bytes(data))
            except msgspec.DecodeError:
                continue


async def test_error_in_a_reply_is_raised(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        router = ctx.socket(backend.ROUTER)
        async with RpcClient(ctx, router.bind("tcp://127.0.0.1:0")) as client:
            call = asyncio.ensure_future(client.call("ping"))
            peer, header, _ = await router.recv_multipart()
            body = b"\x81\xa5error\x82\xa4type\xa1x\xa7message\xa1y"
            await router.send_multipart([peer, b"\x02" + header[1:], body])
            with pytest.raises(RemoteError, match="x: y"):
                await call
