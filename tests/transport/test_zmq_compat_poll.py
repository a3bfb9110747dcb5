"""Polling of `zmq_compat`: one socket, many, descriptors, and a proxy."""

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.zmq_faces import TIMEOUT_MS, join, number_of

from busduct.transport import zmq_compat as zmq


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe, closed in the end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_poll_of_a_socket_tells_its_events(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    assert pull.poll(0) == 0
    assert pull.poll(5) == 0
    assert push.poll(TIMEOUT_MS, zmq.POLLOUT) == zmq.POLLOUT
    push.send(b"x")
    assert pull.poll(TIMEOUT_MS) == zmq.POLLIN
    assert pull.getsockopt(zmq.EVENTS) == zmq.POLLIN
    pull.recv()
    assert pull.poll(0) == 0


def test_poll_without_a_bound_waits_for_another_thread(
    zmq_context: zmq.Context,
) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    with ThreadPoolExecutor(1) as pool:
        polling = pool.submit(pull.poll)
        push.send(b"x")
        assert polling.result(TIMEOUT_MS / 1000) == zmq.POLLIN
    assert pull.recv() == b"x"


def test_poller_tells_which_are_ready(zmq_context: zmq.Context) -> None:
    first, first_push = join(zmq_context, zmq.PULL, zmq.PUSH)
    second, second_push = join(zmq_context, zmq.PULL, zmq.PUSH)
    poller = zmq.Poller()
    poller.register(first, zmq.POLLIN)
    poller.register(second, zmq.POLLIN)
    assert poller.poll(0) == []
    assert poller.poll(5) == []
    second_push.send(b"x")
    assert poller.poll(TIMEOUT_MS) == [(second, zmq.POLLIN)]
    first_push.send(b"y")
    assert first.poll(TIMEOUT_MS)
    assert dict(poller.poll()) == {first: zmq.POLLIN, second: zmq.POLLIN}
    poller.unregister(second)
    assert second not in poller
    assert poller.poll() == [(first, zmq.POLLIN)]
    poller.modify(first, 0)
    assert poller.sockets == []


def test_poller_takes_descriptors_too(
    zmq_context: zmq.Context, pipe: tuple[int, int]
) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    reader, writer = pipe
    poller = zmq.Poller()
    poller.register(pull, zmq.POLLIN)
    poller.register(reader, zmq.POLLIN)
    assert poller.poll(0) == []
    os.write(writer, b"x")
    assert poller.poll(TIMEOUT_MS) == [(reader, zmq.POLLIN)]
    push.send(b"x")
    assert pull.poll(TIMEOUT_MS)
    assert dict(poller.poll()) == {pull: zmq.POLLIN, reader: zmq.POLLIN}


def test_poller_without_sockets_waits_for_descriptors(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    poller = zmq.Poller()
    poller.register(writer, zmq.POLLOUT)
    assert poller.poll() == [(writer, zmq.POLLOUT)]
    with open(reader, closefd=False) as file:
        poller.register(file, zmq.POLLIN)
        assert dict(poller.poll(5)) == {writer: zmq.POLLOUT}


def test_closed_peer_of_a_descriptor_is_told() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        poller = zmq.Poller()
        poller.register(ours, zmq.POLLIN)
        assert poller.poll(TIMEOUT_MS) == [(ours.fileno(), zmq.POLLIN)]


def test_select_tells_what_can_be_read_and_written(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    push.send(b"x")
    assert pull.poll(TIMEOUT_MS)
    ready = zmq.select([pull, push], [pull, push], [pull], timeout=1.0)
    assert ready == ([pull], [push], [])
    pull.recv()
    assert zmq.select([pull], [], [], timeout=0.005) == ([], [], [])


def test_two_contexts_are_polled_at_once(zmq_context: zmq.Context) -> None:
    with zmq.Context() as other:
        here, _ = join(zmq_context, zmq.PULL, zmq.PUSH)
        there, push = join(other, zmq.PULL, zmq.PUSH)
        poller = zmq.Poller()
        poller.register(here, zmq.POLLIN)
        poller.register(there, zmq.POLLIN)
        push.send(b"x")
        assert poller.poll(TIMEOUT_MS) == [(there, zmq.POLLIN)]
        there.close()
        push.close(0)


def test_poll_of_a_closed_socket_fails(zmq_context: zmq.Context) -> None:
    pull = zmq_context.socket(zmq.PULL)
    poller = zmq.Poller()
    poller.register(pull)
    pull.close()
    assert number_of(poller.poll, 0) == zmq.ENOTSOCK


def test_fd_is_readable_when_something_comes(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    assert pull.fileno() == pull.FD
    push.send(b"x")
    poller = zmq.Poller()
    poller.register(pull.FD, zmq.POLLIN)
    while not pull.EVENTS & zmq.POLLIN:
        assert poller.poll(TIMEOUT_MS)
    assert pull.recv(zmq.NOBLOCK) == b"x"


def test_proxy_passes_on_both_ways_and_to_a_capture(zmq_context: zmq.Context) -> None:
    front, client = join(zmq_context, zmq.ROUTER, zmq.DEALER)
    back, worker = join(zmq_context, zmq.DEALER, zmq.DEALER)
    captured, capture = join(zmq_context, zmq.PULL, zmq.PUSH)
    outcome: list[int | None] = []

    def run() -> None:
        outcome.append(number_of(zmq.proxy, front, back, capture))
        for sock in (front, back, capture):
            sock.close()

    passing = threading.Thread(target=run)
    passing.start()
    client.send_multipart([b"", b"question"])
    identity, empty, question = worker.recv_multipart()
    assert (empty, question) == (b"", b"question")
    worker.send_multipart([identity, b"", b"answer"])
    assert client.recv_multipart() == [b"", b"answer"]
    assert captured.recv_multipart() == [identity, b"", b"question"]
    assert captured.recv_multipart() == [identity, b"", b"answer"]
    for sock in (client, worker, captured):
        sock.close()
    zmq_context.term()
    passing.join()
    assert outcome == [zmq.ETERM]
