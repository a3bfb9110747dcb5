"""REQ and REP: questions and answers in turn."""

import asyncio
from types import ModuleType

import pytest
from tests.transport.peers import RawPeer, frame
from tests.transport.waiting import eventually, settle

from busduct.errors import (
    ClosedError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
    MalformedFrameError,
    PeerLostError,
)

pytestmark = pytest.mark.usefixtures("any_loop")

LARGE = bytes(16 << 20)
REQ_RULE = "a REQ sends and receives in turn"
REP_RULE = "a REP receives and sends in turn"


def message(*parts: bytes) -> bytes:
    """Encode one message."""
    *first, last = parts
    return b"".join(frame(part, flags=1) for part in first) + frame(last)


async def receive(peer: RawPeer) -> list[bytes]:
    """Read one message."""
    parts = []
    while True:
        flags, body = await peer.receive()
        parts.append(body)
        if not flags & 1:
            return parts


async def test_replies_come_to_who_asked(backend: ModuleType, address: str) -> None:
    async with backend.Context() as ctx:
        rep = ctx.socket(backend.REP)
        endpoint = rep.bind(address)
        askers = [ctx.socket(backend.REQ) for _ in range(3)]
        for turn in range(3):
            for index, req in enumerate(askers):
                if turn == 0:
                    req.connect(endpoint)
                await req.send_multipart([b"%d" % index, b"", b"%d" % turn])
            for _ in askers:
                number, empty, text = await rep.recv_multipart()
                assert (empty, text) == (b"", b"%d" % turn)
                await rep.send(b"re " + number)
            assert [await req.recv() for req in askers] == [b"re 0", b"re 1", b"re 2"]


@pytest.mark.parametrize("correlate", [False, True])
async def test_envelope_is_on_the_wire_and_not_in_the_message(
    backend: ModuleType, address: str, correlate: bool
) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(backend.REQ, req_correlate=correlate)
        async with await RawPeer.introduced(req.bind(address), b"REP") as peer:
            numbers = set()
            for _ in range(3):
                await req.send_multipart([b"a", b"b"])
                *number, empty, first, second = await receive(peer)
                assert (empty, first, second) == (b"", b"a", b"b")
                assert [len(part) for part in number] == [4] * correlate
                numbers.add(tuple(number))
                await peer.send(message(*number, b"", b"re"))
                assert await req.recv() == b"re"
            assert len(numbers) == (3 if correlate else 1)


async def test_reply_carries_the_envelope_of_its_request(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rep = ctx.socket(backend.REP)
        async with await RawPeer.introduced(rep.bind(address), b"DEALER") as peer:
            await peer.send(message(b"hop", b"another", b"", b"a", b"", b"b"))
            assert await rep.recv_multipart() == [b"a", b"", b"b"]
            await rep.send_multipart([b"", b"re"])
            assert await receive(peer) == [b"hop", b"another", b"", b"", b"re"]


async def test_req_sends_and_receives_in_turn(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        req, rep = ctx.socket(backend.REQ, linger=0), ctx.socket(backend.REP)
        for receive_early in (req.recv, req.recv_multipart, req.recv_many):
            with pytest.raises(LocalProtocolError, match=REQ_RULE):
                await receive_early()
        with pytest.raises(LocalProtocolError):
            req.recv_nowait()
        with pytest.raises(LocalProtocolError, match=REQ_RULE):
            await req.send_many([b"1", b"2"])
        await req.send(b"1")
        with pytest.raises(LocalProtocolError, match=REQ_RULE):
            await req.send(b"2")
        with pytest.raises(LocalProtocolError):
            req.send_nowait(b"2")
        assert req.recv_nowait() is None
        req.connect(rep.bind("tcp://127.0.0.1:0"))
        assert await rep.recv() == b"1"
        await rep.send(b"re 1")
        assert await req.recv_many() == [b"re 1"]
        with pytest.raises(LocalProtocolError):
            await req.recv()
        await req.send(b"2")
        assert await rep.recv() == b"2"


async def test_rep_receives_and_sends_in_turn(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        rep = ctx.socket(backend.REP)
        endpoint = rep.bind("tcp://127.0.0.1:0")
        with pytest.raises(LocalProtocolError, match=REP_RULE):
            await rep.send(b"x")
        askers = [ctx.socket(backend.REQ) for _ in range(2)]
        for req in askers:
            req.connect(endpoint)
            await req.send(b"ask")
        await eventually(lambda: rep.statistics().num_recv_queued == 2)
        # One request at a time, though there are two.
        assert await rep.recv_many() == [b"ask"]
        for receive_early in (rep.recv, rep.recv_multipart, rep.recv_many):
            with pytest.raises(LocalProtocolError, match=REP_RULE):
                await receive_early()
        await rep.send(b"re")
        with pytest.raises(LocalProtocolError):
            rep.send_nowait(b"re")
        assert await rep.recv() == b"ask"


async def test_recv_looks_behind_the_envelope_for_parts(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        req, rep = ctx.socket(backend.REQ), ctx.socket(backend.REP)
        req.connect(rep.bind("tcp://127.0.0.1:0"))
        await req.send_multipart([b"a", b"b"])
        await eventually(lambda: rep.statistics().num_recv_queued)
        with pytest.raises(LocalProtocolError, match="recv_multipart"):
            rep.recv_nowait()
        assert await rep.recv_multipart() == [b"a", b"b"]
        await rep.send_multipart([b"c", b"d"])
        await eventually(lambda: req.statistics().num_recv_queued)
        with pytest.raises(LocalProtocolError, match="recv_multipart"):
            await req.recv()
        assert await req.recv_multipart() == [b"c", b"d"]


async def test_second_receiver_of_a_reply_is_told_that_there_is_none(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        req, rep = ctx.socket(backend.REQ), ctx.socket(backend.REP)
        req.connect(rep.bind("tcp://127.0.0.1:0"))
        await req.send(b"ask")
        receiving = [asyncio.ensure_future(req.recv()) for _ in range(2)]
        await rep.recv()
        await rep.send(b"re")
        assert await receiving[0] == b"re"
        with pytest.raises(LocalProtocolError):
            await receiving[1]


async def test_only_the_peer_that_was_asked_may_answer(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(backend.REQ, req_correlate=True)
        endpoint = req.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"REP") as asked:
            await req.send(b"ask")
            number, empty, _ = await receive(asked)
            async with await RawPeer.introduced(endpoint, b"REP") as other:
                await other.send(message(number, empty, b"from another"))
                await asked.send(message(b"1234", b"", b"another number"))
                await asked.send(message(b"no envelope") + message(number, b"x", b"y"))
                await asked.send(message(number, empty))
                await other.send(message(number, empty, b"again"))
                await asked.send(message(number, empty, b"right"))
                await asked.send(message(number, empty, b"second reply"))
                assert await req.recv() == b"right"
            assert req.recent_errors() == []
            await req.send(b"ask again")
            assert (await receive(asked))[2] == b"ask again"
            await settle()
            assert req.recv_nowait() is None


async def test_requests_go_round(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(backend.REQ)
        servers = [ctx.socket(backend.REP) for _ in range(2)]
        for rep in servers:
            req.connect(rep.bind("tcp://127.0.0.1:0"))
        await eventually(lambda: req.statistics().num_peers == 2)
        for rep in servers * 2:
            await req.send(b"ask")
            assert await rep.recv() == b"ask"
            await rep.send(b"re")
            assert await req.recv() == b"re"


async def test_request_not_yet_written_goes_to_the_next_peer(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        req, rep = ctx.socket(backend.REQ), ctx.socket(backend.REP)
        async with await RawPeer.introduced(
            req.bind("tcp://127.0.0.1:0"), b"REP"
        ) as peer:
            await eventually(lambda: req.statistics().num_peers)
            await req.send(LARGE)
            receiving = asyncio.ensure_future(req.recv())
            await settle()
            await peer.close()
        await eventually(lambda: req.statistics().num_peers == 0)
        rep.connect(req.last_endpoint)
        assert await rep.recv() == LARGE
        await rep.send(b"re")
        assert await receiving == b"re"


async def test_loss_of_the_peer_that_was_asked_is_told_once(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        req, rep = ctx.socket(backend.REQ), ctx.socket(backend.REP)
        endpoint = req.bind(address)
        async with await RawPeer.introduced(endpoint, b"REP") as peer:
            await req.send(b"ask")
            assert await receive(peer) == [b"", b"ask"]
            receiving = asyncio.ensure_future(req.recv())
            await settle()
            assert not receiving.done()
        with pytest.raises(PeerLostError) as caught:
            await receiving
        assert caught.value.peer == endpoint
        with pytest.raises(LocalProtocolError):
            await req.recv()
        rep.connect(endpoint)
        await req.send(b"ask again")
        assert await rep.recv() == b"ask again"


async def test_reply_of_a_peer_that_left_is_received(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(backend.REQ)
        async with await RawPeer.introduced(req.bind(address), b"REP") as peer:
            await req.send(b"ask")
            await receive(peer)
            await peer.send(message(b"", b"re"))
            await eventually(lambda: req.statistics().num_recv_queued)
        await eventually(lambda: req.statistics().num_peers == 0)
        assert await req.recv() == b"re"
        await req.send(b"the next one waits for a peer")


async def test_loss_of_who_asked_is_told_once(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as ctx:
        rep, req = ctx.socket(backend.REP), ctx.socket(backend.REQ)
        endpoint = rep.bind(address)
        async with await RawPeer.introduced(endpoint, b"REQ") as peer:
            await peer.send(message(b"", b"ask"))
            assert await rep.recv() == b"ask"
        await eventually(lambda: rep.statistics().num_peers == 0)
        with pytest.raises(LocalProtocolError):
            await rep.recv()
        with pytest.raises(PeerLostError) as caught:
            await rep.send(b"re")
        assert caught.value.peer == endpoint
        with pytest.raises(LocalProtocolError):
            rep.send_nowait(b"re")
        req.connect(endpoint)
        await req.send(b"ask")
        assert await rep.recv() == b"ask"


@pytest.mark.parametrize("policy", ["wait", "error"])
async def test_replies_are_queued_up_to_the_marks_of_their_peer(
    backend: ModuleType, policy: str
) -> None:
    async with backend.Context() as ctx:
        rep = ctx.socket(backend.REP, hwm_messages=1, on_full=policy)
        endpoint = rep.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"DEALER") as peer:
            await peer.send(message(b"", b"1") + message(b"", b"2"))
            assert await rep.recv() == b"1"
            await rep.send(LARGE)
            assert await rep.recv() == b"2"
            with pytest.raises(FullError, match="1 messages"):
                rep.send_nowait(b"re 2")
            if policy == "error":
                with pytest.raises(FullError):
                    await rep.send(b"re 2")
                await receive(peer)
                await eventually(lambda: not rep.statistics().num_send_queued)
                await rep.send(b"re 2")
            else:
                waiting = asyncio.ensure_future(rep.send(b"re 2"))
                await settle()
                assert not waiting.done()
                await receive(peer)
                await waiting
            assert await receive(peer) == [b"", b"re 2"]


async def test_reply_that_waits_hears_of_the_loss_of_who_asked(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        rep = ctx.socket(backend.REP, hwm_messages=1)
        endpoint = rep.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"DEALER") as peer:
            await peer.send(message(b"", b"1") + message(b"", b"2"))
            await rep.recv()
            await rep.send_multipart([LARGE, b"re"])
            await rep.recv()
            waiting = asyncio.ensure_future(rep.send(b"re 2"))
            await settle()
        with pytest.raises(PeerLostError):
            await waiting
        # As it was given, without the envelope.
        assert rep.undelivered() == [[LARGE, b"re"]]


@pytest.mark.parametrize("request_parts", [[b"ask"], [b""], [b"a", b"b"], [b"a", b""]])
async def test_request_without_a_delimiter_ends_the_link(
    backend: ModuleType, address: str, request_parts: list[bytes]
) -> None:
    async with backend.Context() as ctx:
        rep, req = ctx.socket(backend.REP), ctx.socket(backend.REQ)
        endpoint = rep.bind(address)
        async with await RawPeer.introduced(endpoint, b"DEALER") as peer:
            await peer.send(message(*request_parts))
            await peer.until_closed()
        (error,) = rep.recent_errors()
        assert isinstance(error, MalformedFrameError)
        assert error.reason == "request without a delimiter"
        req.connect(endpoint)
        await req.send(b"ask")
        assert await rep.recv() == b"ask"


@pytest.mark.parametrize("correlate", [False, True])
async def test_relaxed_req_drops_the_reply_that_it_no_longer_waits_for(
    backend: ModuleType, correlate: bool
) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(backend.REQ, req_relaxed=True, req_correlate=correlate)
        endpoint = req.bind("tcp://127.0.0.1:0")
        async with (
            await RawPeer.introduced(endpoint, b"REP") as left,
            await RawPeer.introduced(endpoint, b"REP") as right,
        ):
            await eventually(lambda: req.statistics().num_peers == 2)
            await req.send(b"1")
            await req.send(b"2")
            # Whichever peer was there first was asked first.
            pending = {asyncio.ensure_future(receive(p)): p for p in (left, right)}
            asked = {(await task)[-1]: (task, peer) for task, peer in pending.items()}
            for number in (b"1", b"2"):
                task, peer = asked[number]
                await peer.send(message(*task.result()[:-1], b"re " + number))
                await settle()
            assert await req.recv() == b"re 2"


async def test_relaxed_req_drops_a_reply_that_it_has(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(backend.REQ, req_relaxed=True, req_correlate=True)
        rep = ctx.socket(backend.REP)
        req.connect(rep.bind("tcp://127.0.0.1:0"))
        await req.send(b"1")
        await rep.send(b"re " + await rep.recv())
        await eventually(lambda: req.statistics().num_recv_queued)
        await req.send(b"2")
        assert req.recv_nowait() is None
        await rep.send(b"re " + await rep.recv())
        assert await req.recv() == b"re 2"


async def test_envelopes_count_as_parts(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        for correlate in (False, True):
            req = ctx.socket(backend.REQ, max_parts=3, req_correlate=correlate)
            with pytest.raises(FrameTooLargeError) as caught:
                await req.send_multipart([b"x"] * (3 - correlate))
            assert (caught.value.size, caught.value.limit) == (4, 3)
            await req.send_multipart([b"x"] * (2 - correlate))
        rep = ctx.socket(backend.REP, max_parts=4)
        endpoint = rep.bind("tcp://127.0.0.1:0")
        async with await RawPeer.introduced(endpoint, b"DEALER") as peer:
            await peer.send(message(b"hop", b"hop", b"", b"ask"))
            await rep.recv()
            with pytest.raises(FrameTooLargeError):
                await rep.send_multipart([b"re", b"re"])
            await rep.send(b"re")
            assert await receive(peer) == [b"hop", b"hop", b"", b"re"]


async def test_unsent_request_is_undelivered_as_it_was_given(
    backend: ModuleType,
) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(backend.REQ, req_correlate=True)
        await req.send_multipart([b"a", b"b"])
        req.close(linger=0)
        assert req.undelivered() == [[b"a", b"b"]]


async def test_closed_req_raises_closed_error(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        req = ctx.socket(backend.REQ, linger=0)
        await req.send(b"ask")
        receiving = asyncio.ensure_future(req.recv())
        await settle()
        req.close()
        with pytest.raises(ClosedError):
            await receiving
        with pytest.raises(ClosedError):
            req.send_nowait(b"x")


async def test_cancelled_recv_of_a_reply_may_be_repeated(backend: ModuleType) -> None:
    async with backend.Context() as ctx:
        req, rep = ctx.socket(backend.REQ), ctx.socket(backend.REP)
        req.connect(rep.bind("tcp://127.0.0.1:0"))
        await req.send(b"ask")
        receiving = asyncio.ensure_future(req.recv())
        await rep.recv()
        receiving.cancel()
        await settle()
        await rep.send(b"re")
        assert await req.recv() == b"re"


def test_questions_are_asked_without_a_loop(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        req, rep = ctx.socket(backend.REQ), ctx.socket(backend.REP)
        req.connect(rep.bind("tcp://127.0.0.1:0"))
        for _ in range(3):
            req.send_blocking(b"ask")
            assert rep.recv_blocking(timeout=20) == b"ask"
            rep.send_blocking(b"re")
            assert req.recv_blocking(timeout=20) == b"re"
