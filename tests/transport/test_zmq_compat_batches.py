"""What `zmq_compat` takes in one go, and what it sends without its lock."""

import os
import threading
from collections.abc import Sequence

import pytest
from tests.zmq_faces import join, number_of

from busduct.transport import zmq_compat as zmq


def filled(
    context: zmq.Context, messages: Sequence[bytes]
) -> tuple[zmq.Socket, zmq.Socket]:
    """Return a PULL that holds these messages unread, and its PUSH."""
    pull, push = join(context, zmq.PULL, zmq.PUSH)
    for message in [b"first", *messages]:
        push.send(message)
    # Until all are there: the queue between the sockets keeps their order.
    pull.underlying.shared.core.run_once(0.0)
    assert pull.recv() == b"first"
    core = pull.underlying._core
    assert core is not None
    while core.statistics().num_recv_queued + len(pull.underlying.batch) < len(
        messages
    ):
        with pull.underlying.shared:
            pull.underlying.shared.process()
    return pull, push


def test_messages_taken_at_once_are_there_to_be_polled(
    zmq_context: zmq.Context,
) -> None:
    pull, _ = filled(zmq_context, [b"one", b"two", b"three"])
    poller = zmq.Poller()
    poller.register(pull, zmq.POLLIN)
    for message in [b"one", b"two", b"three"]:
        assert pull.getsockopt(zmq.EVENTS) == zmq.POLLIN
        assert pull.poll(0) == zmq.POLLIN
        assert poller.poll(0) == [(pull, zmq.POLLIN)]
        assert pull.recv() == message
    assert pull.poll(0) == 0


def test_messages_of_one_part_and_of_several_keep_their_order(
    zmq_context: zmq.Context,
) -> None:
    pull, push = filled(zmq_context, [b"one", b"two"])
    push.send_multipart([b"three", b"3"])
    push.send(b"four")
    assert pull.recv() == b"one"
    assert pull.recv_multipart() == [b"two"]
    assert pull.recv() == b"three"
    assert pull.getsockopt(zmq.RCVMORE) == 1
    assert pull.recv() == b"3"
    assert pull.getsockopt(zmq.RCVMORE) == 0
    assert pull.recv_multipart() == [b"four"]


def test_parts_given_before_go_first(zmq_context: zmq.Context) -> None:
    pull, push = filled(zmq_context, [])
    push.send(b"a", zmq.SNDMORE)
    push.send(b"b")
    push.send(b"alone")
    assert pull.recv_multipart() == [b"a", b"b"]
    assert pull.recv_multipart() == [b"alone"]


def test_closed_socket_gives_nothing_that_was_taken_before(
    zmq_context: zmq.Context,
) -> None:
    pull, push = filled(zmq_context, [b"one", b"two", b"three"])
    assert pull.recv() == b"one"
    pull.close()
    push.close()
    assert number_of(pull.recv) == zmq.ENOTSOCK
    assert number_of(push.send, b"x") == zmq.ENOTSOCK


def test_termination_ends_calls_that_would_not_wait(zmq_context: zmq.Context) -> None:
    pull, push = filled(zmq_context, [b"one", b"two", b"three"])
    assert pull.recv() == b"one"
    terminating = threading.Thread(target=zmq_context.term)
    terminating.start()
    try:
        while pull.underlying.batch:
            os.sched_yield()
        assert number_of(push.send, b"x") == zmq.ETERM
        assert number_of(pull.recv) == zmq.ETERM
    finally:
        pull.close()
        push.close(0)
        terminating.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_forked_child_gets_nothing_that_was_taken_before(
    zmq_context: zmq.Context,
) -> None:
    pull, push = filled(zmq_context, [b"one", b"two", b"three"])
    assert pull.recv() == b"one"
    parent = os.getpid()

    def in_child() -> None:
        assert os.getpid() != parent
        assert number_of(pull.recv) == zmq.ENOTSOCK
        assert number_of(push.send, b"x") == zmq.ENOTSOCK

    child = os.fork()
    if child == 0:
        code = 1
        try:
            in_child()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert pull.recv() == b"two"


def test_conflating_receiver_has_the_newest(zmq_context: zmq.Context) -> None:
    pull, push = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PUSH)
    pull.conflate = 1
    pull.bind("tcp://127.0.0.1:*")
    push.connect(pull.last_endpoint.decode())
    push.send(b"old")
    assert pull.poll(20_000) == zmq.POLLIN
    for index in range(100):
        push.send(b"%d" % index)
    received = b""
    while received != b"99":
        received = pull.recv()
        assert not pull.underlying.batch


def test_thread_that_waits_is_told_of_a_message_within_the_context(
    zmq_context: zmq.Context,
) -> None:
    pull, push = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PUSH)
    pull.bind("inproc://a")
    push.connect("inproc://a")
    received: list[bytes] = []

    def receive() -> None:
        received.extend(pull.recv() for _ in range(200))

    pull.rcvtimeo = 20_000
    receiving = threading.Thread(target=receive)
    receiving.start()
    for index in range(200):
        push.send(b"%d" % index)
    receiving.join()
    assert received == [b"%d" % index for index in range(200)]


def test_two_threads_share_one_context(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    messages = [b"%d" % index for index in range(20_000)]

    def send() -> None:
        for message in messages:
            push.send(message)

    sending = threading.Thread(target=send)
    sending.start()
    received = [pull.recv() for _ in messages]
    sending.join()
    assert received == messages
