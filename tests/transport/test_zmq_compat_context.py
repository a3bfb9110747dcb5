"""Contexts of `zmq_compat`: threads, termination, one for the process, fork."""

import copy
import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.zmq_faces import TIMEOUT_MS, join, number_of

from busduct.errors import ClosedError
from busduct.transport import get_zmq_socket
from busduct.transport import zmq_compat as zmq


def test_each_socket_may_have_a_thread_of_its_own(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    num = 2000

    def receive() -> list[bytes]:
        return [pull.recv() for _ in range(num)]

    with ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(receive)
        for number in range(num):
            push.send(str(number).encode())
        assert receiving.result() == [str(i).encode() for i in range(num)]


def test_waiting_sender_goes_on_when_another_thread_makes_room(
    zmq_context: zmq.Context,
) -> None:
    pull, push = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PUSH)
    for sock in (pull, push):
        sock.hwm = 1
    payload = bytes(1 << 20)
    port = pull.bind_to_random_port("tcp://127.0.0.1")
    push.connect(f"tcp://127.0.0.1:{port}")

    def send() -> None:
        for _ in range(20):
            push.send(payload)

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        for _ in range(20):
            assert len(pull.recv()) == len(payload)
        sending.result()


def test_socket_may_move_to_another_thread(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(3):
            push.send(b"x")
            assert pool.submit(pull.recv).result() == b"x"
            pool.submit(push.send, b"y").result()
            assert pull.recv() == b"y"


def test_inproc_works_between_threads(zmq_context: zmq.Context) -> None:
    pull = zmq_context.socket(zmq.PULL)
    pull.bind("inproc://here")

    def send() -> None:
        with zmq_context.socket(zmq.PUSH) as push:
            push.connect("inproc://here")
            push.send(b"from a thread")

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        assert pull.recv() == b"from a thread"
        sending.result()


def test_term_interrupts_a_receive_and_waits_for_the_close(
    zmq_context: zmq.Context,
) -> None:
    started = threading.Event()

    def receive() -> str:
        with zmq_context.socket(zmq.PULL) as pull:
            pull.bind("tcp://127.0.0.1:*")
            started.set()
            try:
                pull.recv()
            except zmq.ContextTerminated:
                return "interrupted"
        return "received"

    with ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(receive)
        assert started.wait(TIMEOUT_MS / 1000)
        zmq_context.term()
        assert receiving.result() == "interrupted"
    assert zmq_context.closed


def test_term_waits_for_open_sockets(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH)
    terminating = threading.Thread(target=zmq_context.term)
    terminating.start()
    terminating.join(0.05)
    assert terminating.is_alive()
    assert number_of(push.send, b"") == zmq.ETERM
    push.close()
    terminating.join(TIMEOUT_MS / 1000)
    assert zmq_context.closed
    assert number_of(zmq_context.socket, zmq.PUSH) == zmq.ENOTSUP


def test_term_sends_what_lingers(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    push.linger = TIMEOUT_MS
    push.send(b"late")
    push.close()
    assert pull.recv() == b"late"


def test_destroy_closes_all(zmq_context: zmq.Context) -> None:
    sockets = [zmq_context.socket(zmq.PULL) for _ in range(5)]
    sockets[0].bind("tcp://127.0.0.1:*")
    zmq_context.destroy(linger=0)
    assert all(sock.closed for sock in sockets)
    zmq_context.destroy()
    zmq_context.term()


def test_leaving_a_context_warns_of_open_sockets(zmq_context: zmq.Context) -> None:
    inner = zmq.Context()
    with pytest.warns(ResourceWarning, match="unclosed socket"), inner:
        sock = inner.socket(zmq.PULL)
    assert sock.closed
    assert inner.closed


def test_forgotten_socket_warns(zmq_context: zmq.Context) -> None:
    sock = zmq.Socket(zmq_context, zmq.PULL)
    with pytest.warns(ResourceWarning, match="Unclosed socket"):
        del sock


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_forgotten_sockets_and_contexts_are_closed(zmq_context: zmq.Context) -> None:
    context = zmq.Context()
    context.socket(zmq.PULL).bind("tcp://127.0.0.1:*")
    shared = context.underlying
    del context
    gc.collect()
    assert shared.is_closed


def test_defaults_of_a_context_are_for_its_new_sockets(
    zmq_context: zmq.Context,
) -> None:
    zmq_context.sndhwm = 5
    zmq_context.setsockopt(zmq.SUBSCRIBE, b"only of use to SUB")
    assert zmq_context.socket(zmq.PUSH).sndhwm == 5
    zmq_context.max_sockets = 3
    assert zmq_context.get(zmq.MAX_SOCKETS) == 3
    assert number_of(zmq_context.get, zmq.BACKLOG) == zmq.EINVAL
    assert number_of(zmq.Context, -1) == zmq.EINVAL


def test_instance_is_one_for_the_process(zmq_context: zmq.Context) -> None:
    first = zmq.Context.instance()
    assert zmq.Context.instance(2) is first
    assert zmq.asyncio.Context.instance() is not first
    first.term()
    second = zmq.Context.instance()
    assert second is not first
    second.term()
    zmq.asyncio.Context.instance().term()


def test_forked_child_has_an_instance_of_its_own(zmq_context: zmq.Context) -> None:
    inherited = zmq.Context.instance()
    pull = inherited.socket(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    child = os.fork()
    if not child:
        status = 1
        try:
            own = zmq.Context.instance()
            refused = number_of(pull.recv) == zmq.ENOTSOCK
            inherited.term()
            with own.socket(zmq.PULL) as mine:
                mine.bind("tcp://127.0.0.1:*")
            own.term()
            status = 0 if own is not inherited and refused else 2
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    pull.close()
    inherited.term()


def test_shadows_share_their_sockets_and_contexts(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    other = zmq.Socket.shadow(pull)
    push.send_multipart([b"a", b"b"])
    assert (pull.recv(), other.recv()) == (b"a", b"b")
    with copy.copy(zmq_context).socket(zmq.PULL) as made:
        assert made.context.underlying is zmq_context.underlying
    assert zmq.asyncio.Context(zmq_context).underlying is zmq_context.underlying
    del other
    gc.collect()
    assert not pull.closed


def test_get_zmq_socket_takes_a_context(zmq_context: zmq.Context) -> None:
    pull = get_zmq_socket(zmq_context, zmq.PULL, "tcp://127.0.0.1:0", bind=True)
    push = get_zmq_socket(
        zmq_context, zmq.PUSH, pull.last_endpoint.decode(), bind=False, hwm_messages=3
    )
    assert isinstance(push, zmq.Socket)
    push.send(b"x")
    assert pull.recv() == b"x"
    with pytest.raises(zmq.ZMQError):
        get_zmq_socket(zmq_context, zmq.PULL, "nowhere", bind=True)


def test_what_is_underneath_is_not_the_callers(zmq_context: zmq.Context) -> None:
    pull = zmq_context.socket(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    shared = zmq_context.underlying
    with shared:
        core = shared.core
    zmq_context.destroy()
    with pytest.raises(ClosedError):
        core.fileno()
