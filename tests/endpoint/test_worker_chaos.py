"""Whatever endpoints do at random, each query of a worker ends exactly once."""

import asyncio
import random
from collections import Counter

import pytest
from tests.endpoint.http_server import (
    STREAM_HEAD,
    Peer,
    chunk,
    serving,
)
from tests.endpoint.worker_faces import Wire, answer, ask, event, working
from tests.processes.conditions import until

pytestmark = pytest.mark.usefixtures("no_leaks")

NUM_QUERIES = 600
STREAM = (
    STREAM_HEAD
    + b"".join(chunk(b"data: " + event(f"{n} ") + b"\n\n") for n in range(5))
    + chunk(b"data: [DONE]\n\n")
    + chunk(b"")
)
UNFRAMED = b"HTTP/1.0 200 OK\r\n\r\n{}"
REPLIES = (
    *(answer(), STREAM) * 4,
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 4\r\n\r\nbusy",
    b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
    UNFRAMED,
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
    b"garbage\r\n\r\n",
    answer() + b"more",
)


@pytest.mark.parametrize("seed", range(3))
async def test_each_query_ends_once(seed: int, any_loop: str) -> None:
    chance = random.Random(seed)

    async def script(peer: Peer) -> None:
        while chance.random() > 0.02:
            await peer.request()
            reply = chance.choice(REPLIES)
            is_cut = chance.random() < 0.1
            if is_cut:
                reply = reply[: chance.randrange(len(reply))]
            for piece in cut(reply):
                await peer.write(piece)
                await asyncio.sleep(0)
            # The second has no other end than that of its connection.
            if is_cut or reply == UNFRAMED:
                break
        if chance.random() < 0.5:
            peer.reset()

    def cut(reply: bytes) -> list[bytes]:
        at = chance.randrange(len(reply) + 1)
        return [reply[:at], reply[at:]]

    async with (
        serving(script) as server,
        working(server.url, max_connections=16, max_idle_time=0.05) as wire,
    ):
        await put_at_random(wire, chance)
        await until(lambda: len(wire.results()) >= NUM_QUERIES)
        await asyncio.sleep(0.1)
        ended = Counter(each.id for each in wire.results())
        assert ended == {str(number): 1 for number in range(NUM_QUERIES)}
        assert wire.num_advanced == NUM_QUERIES
        kinds = {each.error.error_type for each in wire.results() if each.error}
        assert kinds <= {
            *("connection", "truncated", "malformed", "http", "cancelled"),
        }
        assert sum(each.error is None for each in wire.results()) > NUM_QUERIES / 4
        # Whatever is left was idle, and is closed by now.
        await until(lambda: server.num_open == 0)


async def put_at_random(wire: Wire, chance: random.Random) -> None:
    """Ask in bursts, give some up, and let the transport be full now and then."""
    for number in range(NUM_QUERIES):
        wire.put(ask(str(number), stream=chance.random() < 0.5))
        if chance.random() < 0.05:
            wire.put(str(chance.randrange(number + 1)))
        if chance.random() < 0.02:
            wire.room = chance.randrange(5)
        if chance.random() < 0.2:
            await asyncio.sleep(0)
            wire.room = 1 << 30
    wire.room = 1 << 30
