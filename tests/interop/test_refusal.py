"""libzmq sockets that we cannot talk to are turned away; the others go on."""

from types import ModuleType

import pytest
import zmq
from tests.interop.libzmq import Foreign, bind, to_ours, to_theirs
from tests.transport.waiting import eventually

from busduct.errors import RemoteProtocolError

needs_curve = pytest.mark.skipif(not zmq.has("curve"), reason="libzmq lacks CURVE")
MESSAGES = [[b"%d" % index] for index in range(50)]


def curve_client() -> dict[str, bytes]:
    """Make the options of a socket that insists on CURVE."""
    server_key, _ = zmq.curve_keypair()
    public, secret = zmq.curve_keypair()
    return {
        "CURVE_SERVERKEY": server_key,
        "CURVE_PUBLICKEY": public,
        "CURVE_SECRETKEY": secret,
    }


@needs_curve
async def test_libzmq_that_asks_for_curve_gets_nothing_in_clear(
    backend: ModuleType, foreign: Foreign, address: str
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(backend.PULL)
        endpoint = ours.bind(address)
        honest = foreign.socket(zmq.PUSH)
        honest.connect(endpoint)
        assert await to_ours(honest, ours, MESSAGES) == MESSAGES
        armed = foreign.socket(zmq.PUSH, **curve_client())
        armed.connect(endpoint)
        armed.send(b"for nobody")
        # libzmq reads our mechanism before it tells its own, and hangs up.
        await eventually(lambda: ours.statistics().num_handshakes_failed)
        assert await to_ours(honest, ours, MESSAGES) == MESSAGES
        assert ours.statistics().num_peers == 1


@needs_curve
async def test_libzmq_that_serves_curve_is_not_spoken_to_in_clear(
    backend: ModuleType, foreign: Foreign, address: str
) -> None:
    async with backend.Context() as ctx:
        _, secret = zmq.curve_keypair()
        armed = foreign.socket(zmq.PULL, CURVE_SERVER=1, CURVE_SECRETKEY=secret)
        honest = foreign.socket(zmq.PULL)
        ours = ctx.socket(backend.PUSH, reconnect_interval=0.02)
        ours.connect(bind(armed, address))
        await eventually(lambda: ours.statistics().num_handshakes_failed)
        ours.connect(bind(honest, address.replace("/a", "/b")))
        assert await to_theirs(ours, honest, MESSAGES) == MESSAGES
        assert armed.poll(0) == 0


@pytest.mark.parametrize(
    ("our_kind", "wrong", "right"),
    [
        ("PULL", "PULL", "PUSH"),
        ("PULL", "DEALER", "PUSH"),
        ("PULL", "PUB", "PUSH"),
        ("ROUTER", "PUSH", "DEALER"),
        ("ROUTER", "REP", "REQ"),
    ],
)
async def test_libzmq_of_the_wrong_kind_is_refused(
    backend: ModuleType,
    foreign: Foreign,
    address: str,
    our_kind: str,
    wrong: str,
    right: str,
) -> None:
    async with backend.Context() as ctx:
        ours = ctx.socket(getattr(backend, our_kind))
        endpoint = ours.bind(address)
        foreign.socket(getattr(zmq, wrong)).connect(endpoint)
        (error, *_) = await eventually(ours.recent_errors)
        assert isinstance(error, RemoteProtocolError)
        honest = foreign.socket(getattr(zmq, right))
        honest.connect(endpoint)
        (received,) = await to_ours(honest, ours, [[b"hello"]])
        assert received[-1] == b"hello"
        assert ours.statistics().num_peers == 1
