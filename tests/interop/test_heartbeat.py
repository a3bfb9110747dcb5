"""Heartbeats of either side: answered, and missed when the other one stands still.

A relay between the two counts the commands that go by.
"""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack, suppress
from types import ModuleType, TracebackType
from typing import Self

import pytest
import zmq
from tests.interop.libzmq import Foreign, bind, to_ours, to_theirs
from tests.transport.waiting import eventually

from busduct.errors import PeerLostError

HEARTBEAT = {"HEARTBEAT_IVL": 20, "HEARTBEAT_TIMEOUT": 1000, "HEARTBEAT_TTL": 1000}
NUM_PINGS = 25

PAIRS = [("PULL", "PUSH"), ("PUSH", "PULL"), ("ROUTER", "DEALER"), ("DEALER", "ROUTER")]


class Relay:
    """Pass TCP connections on to `target`, counting occurrences in each direction."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.removeprefix("tcp://").rpartition(":")
        self._port = int(port)
        self._exits = AsyncExitStack()
        self.num_pings = 0
        self.num_pongs = 0

    async def __aenter__(self) -> Self:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._pumps = await self._exits.enter_async_context(asyncio.TaskGroup())
        await self._exits.enter_async_context(server)
        self.endpoint = "tcp://{}:{}".format(*server.sockets[0].getsockname())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._exits.__aexit__(exc_type, exc, tb)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        onward = await asyncio.open_connection(self._host, self._port)
        self._pumps.create_task(self._pump(reader, onward[1]))
        self._pumps.create_task(self._pump(onward[0], writer))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        # Who gives up resets what it has not read; to the other one that is an end.
        with suppress(ConnectionResetError, BrokenPipeError):
            while data := await reader.read(65_536):
                self.num_pings += data.count(b"\x04PING")
                self.num_pongs += data.count(b"\x04PONG")
                writer.write(data)
        writer.close()
        with suppress(ConnectionResetError, BrokenPipeError):
            await writer.wait_closed()


@pytest.mark.parametrize(("our_kind", "their_kind"), PAIRS)
@pytest.mark.parametrize("ours_binds", [True, False], ids=["we bind", "they bind"])
async def test_heartbeats_are_answered_on_an_idle_connection(
    backend: ModuleType,
    foreign: Foreign,
    our_kind: str,
    their_kind: str,
    ours_binds: bool,
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(getattr(backend, our_kind))
        theirs = foreign.socket(getattr(zmq, their_kind), **HEARTBEAT)
        events = foreign.watch(theirs)
        bound = ours.bind if ours_binds else lambda at: bind(theirs, at)
        async with Relay(bound("tcp://127.0.0.1:0")) as relay:
            (theirs if ours_binds else ours).connect(relay.endpoint)
            await eventually(lambda: relay.num_pongs >= NUM_PINGS)
            messages = [[b"%d" % index] for index in range(100)]
            if our_kind in ("PUSH", "DEALER"):
                received = await to_theirs(ours, theirs, messages)
            else:
                received = await to_ours(theirs, ours, messages)
            assert [parts[-1:] for parts in received] == messages
            assert ours.statistics().num_disconnected == 0
            assert ours.statistics().num_protocol_errors == 0
            assert events.counts[zmq.EVENT_DISCONNECTED] == 0
            foreign.close()
            await ctx.aclose()


async def test_heartbeats_between_messages_disturb_no_message(
    backend: ModuleType, foreign: Foreign
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.ROUTER)
        theirs = foreign.socket(zmq.DEALER, **HEARTBEAT)
        async with Relay(ours.bind("tcp://127.0.0.1:0")) as relay:
            theirs.connect(relay.endpoint)
            num_rounds = 0
            while relay.num_pongs < NUM_PINGS:
                request = [b"%d" % num_rounds, bytes(num_rounds % 600)]
                received = await to_ours(theirs, ours, [request])
                assert received[0][1:] == request
                assert await to_theirs(ours, theirs, received) == [request]
                num_rounds += 1
            assert num_rounds > NUM_PINGS
            assert ours.statistics().num_connected == 1
            foreign.close()
            await ctx.aclose()


async def test_connection_that_stalled_past_the_timeout_is_made_again(
    backend: ModuleType, foreign: Foreign
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.PULL)
        endpoint = ours.bind("tcp://127.0.0.1:0")
        theirs = foreign.socket(
            zmq.PUSH, HEARTBEAT_IVL=20, HEARTBEAT_TIMEOUT=60, RECONNECT_IVL=20
        )
        events = foreign.watch(theirs)
        theirs.connect(endpoint)
        theirs.send(b"before")
        assert await ours.recv() == b"before"
        # The loop stands still, so nothing answers.
        events.wait_for(zmq.EVENT_DISCONNECTED)
        # Where the machine stalls, too, it is made more than once again.
        await eventually(lambda: ours.statistics().num_connected >= 2)
        theirs.send(b"after")
        assert await ours.recv() == b"after"


@pytest.mark.parametrize(("our_kind", "their_kind"), PAIRS)
async def test_libzmq_answers_our_heartbeats(
    backend: ModuleType, foreign: Foreign, our_kind: str, their_kind: str
) -> None:
    async with backend.Context() as ctx:
        # What is counted is answers; how soon they come is up to the machine.
        ours = ctx.socket(
            getattr(backend, our_kind),
            heartbeat_interval=0.02,
            heartbeat_timeout=10.0,
            heartbeat_ttl=10.0,
        )
        theirs = foreign.socket(getattr(zmq, their_kind))
        events = foreign.watch(theirs)
        async with Relay(bind(theirs, "tcp://127.0.0.1:0")) as relay:
            ours.connect(relay.endpoint)
            await eventually(lambda: relay.num_pongs >= NUM_PINGS)
            assert ours.statistics().num_disconnected == 0
            assert ours.recent_errors() == []
            assert events.counts[zmq.EVENT_DISCONNECTED] == 0
            # The one that would connect again ends first.
            await ctx.aclose()
            foreign.close()


async def test_libzmq_gives_us_up_when_we_are_silent_beyond_our_ttl(
    backend: ModuleType, foreign: Foreign
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.PULL, heartbeat_interval=0.02, heartbeat_ttl=0.2)
        theirs = foreign.socket(zmq.PUSH, RECONNECT_IVL=20)
        events = foreign.watch(theirs)
        async with Relay(ours.bind("tcp://127.0.0.1:0")) as relay:
            theirs.connect(relay.endpoint)
            await eventually(lambda: relay.num_pongs >= 1)
            # The loop stands still, so nothing asks.
            events.wait_for(zmq.EVENT_DISCONNECTED)
            foreign.close()
            await ctx.aclose()


STOPPED_PEER = """
import sys, zmq
context = zmq.Context()
sock = context.socket(zmq.PUSH)
sock.linger = 0
for name, value in zip(sys.argv[2::2], sys.argv[3::2]):
    sock.set(getattr(zmq, name), int(value))
sock.connect(sys.argv[1])
sock.send(b"here")
sys.stdin.read()
context.destroy()
"""


# NB: a timeout that is not given is the interval, which we may well exceed.
ITS_TTL = ["HEARTBEAT_IVL", "20", "HEARTBEAT_TTL", "1000"]
ITS_TTL += ["HEARTBEAT_TIMEOUT", "30000"]


@pytest.mark.parametrize(
    ("ours_asks", "options"),
    [(True, []), (False, ITS_TTL)],
    ids=["our timeout", "its ttl"],
)
async def test_stopped_libzmq_is_given_up_and_comes_back(
    backend: ModuleType, ours_asks: bool, options: list[str]
) -> None:
    asking = {"heartbeat_interval": 0.1, "heartbeat_timeout": 1.0}
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.PULL, **(asking if ours_asks else {}))
        async with Relay(ours.bind("tcp://127.0.0.1:0")) as relay:
            peer = await asyncio.create_subprocess_exec(
                sys.executable, "-c", STOPPED_PEER, relay.endpoint, *options, stdin=PIPE
            )
            try:
                assert await ours.recv() == b"here"
                await eventually(lambda: relay.num_pongs)
                peer.send_signal(signal.SIGSTOP)
                await eventually(lambda: ours.statistics().num_disconnected == 1)
                (error,) = ours.recent_errors()
                assert isinstance(error, PeerLostError)
                peer.send_signal(signal.SIGCONT)
                await eventually(lambda: ours.statistics().num_connected >= 2)
            finally:
                # A peer that is still stopped must run on to end.
                peer.send_signal(signal.SIGCONT)
                await peer.communicate(b"")
