"""Programs on `zmq_compat` and programs on libzmq speak with each other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import zmq as libzmq
from tests.interop.libzmq import Foreign
from tests.zmq_faces import context_of

from busduct.transport import zmq_compat as zmq

# The face and libzmq's are used alike: that is what is tested.
PAIRS = [
    ("PUSH", "PULL"),
    ("PAIR", "PAIR"),
    ("DEALER", "DEALER"),
    ("REQ", "REP"),
    ("XPUB", "XSUB"),
]


@pytest.fixture(params=["rust", "python"])
def ours(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[zmq.Context[Any]]:
    """Give a context of `zmq_compat` on each backend in turn."""
    with context_of(request.param, monkeypatch) as context:
        yield context


@pytest.fixture(params=["ours sends", "libzmq sends"])
def faces(
    request: pytest.FixtureRequest, ours: zmq.Context[Any], foreign: Foreign
) -> tuple[Any, Any]:
    """Give both libraries, in either order."""
    both = (ours, foreign)
    return both if request.param == "ours sends" else both[::-1]


def join(bound: Any, connected: Any) -> None:
    """Bind the one, connect the other."""
    port = bound.bind_to_random_port("tcp://127.0.0.1")
    connected.connect(f"tcp://127.0.0.1:{port}")


@pytest.mark.parametrize(("first", "second"), PAIRS[:4])
def test_messages_pass(faces: tuple[Any, Any], first: str, second: str) -> None:
    here, there = faces
    sender = here.socket(getattr(zmq, first))
    receiver = there.socket(getattr(zmq, second))
    join(receiver, sender)
    sender.send_multipart([b"a", b"", bytes(100_000)])
    assert receiver.recv_multipart() == [b"a", b"", bytes(100_000)]
    if first != "PUSH":
        receiver.send_json({"answer": 1})
        assert sender.recv_json() == {"answer": 1}


def test_router_answers_a_request(faces: tuple[Any, Any]) -> None:
    here, there = faces
    router, client = here.socket(zmq.ROUTER), there.socket(zmq.REQ)
    join(router, client)
    client.send_string("question")
    identity, empty, question = router.recv_multipart()
    router.send_multipart([identity, empty, question.upper()])
    assert client.recv_string() == "QUESTION"


def test_subscriptions_are_understood(faces: tuple[Any, Any]) -> None:
    here, there = faces
    publisher, subscriber = here.socket(zmq.XPUB), there.socket(zmq.SUB)
    subscriber.setsockopt(zmq.SUBSCRIBE, b"topic")
    join(publisher, subscriber)
    assert publisher.recv() == b"\x01topic"
    publisher.send(b"other")
    publisher.send(b"topic 1")
    assert subscriber.recv() == b"topic 1"


def test_threads_of_both_exchange_many_messages(
    ours: zmq.Context[Any], foreign: Foreign
) -> None:
    rep, req = foreign.socket(libzmq.REP), ours.socket(zmq.REQ)
    join(rep, req)

    def serve() -> None:
        for _ in range(500):
            rep.send(rep.recv())

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve)
        for number in range(500):
            req.send_json(number)
            assert req.recv_json() == number
        serving.result()


def test_numbers_are_those_of_pyzmq() -> None:
    for name in zmq.constants.__all__:
        theirs = getattr(libzmq, name, None)
        if isinstance(theirs, int) and name != "IPC_PATH_MAX_LEN":
            assert getattr(zmq, name) == theirs, name
