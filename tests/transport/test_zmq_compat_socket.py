"""Sockets of `zmq_compat`: messages, flags, options, endpoints."""

import errno
import stat
from array import array
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.zmq_faces import join, number_of

from busduct.transport import zmq_compat as zmq


def test_message_arrives(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    assert push.send(b"one") is None
    assert pull.recv() == b"one"


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda data: array("B", data)])
def test_buffers_are_copied_when_sent(zmq_context: zmq.Context, make: Any) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    buffer = make(b"abc")
    push.send(buffer, zmq.SNDMORE)
    if not isinstance(buffer, memoryview):
        buffer[0] = 0
    push.send(b"end")
    assert pull.recv_multipart() == [b"abc", b"end"]


def test_text_must_be_sent_as_text(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    with pytest.raises(TypeError, match="send_string"):
        push.send("text")
    with pytest.raises(TypeError, match="a str is wanted"):
        push.send_string(b"bytes")
    push.send_string("größe", encoding="latin-1")
    assert pull.recv_string(encoding="latin-1") == "größe"


def test_noblock_raises_again_where_nothing_is_there(zmq_context: zmq.Context) -> None:
    pull, _ = join(zmq_context, zmq.PULL, zmq.PUSH)
    with pytest.raises(zmq.Again):
        pull.recv(zmq.NOBLOCK)
    assert number_of(pull.recv_multipart, zmq.DONTWAIT) == zmq.EAGAIN


def test_rcvtimeo_ends_the_wait(zmq_context: zmq.Context) -> None:
    pull, _ = join(zmq_context, zmq.PULL, zmq.PUSH)
    pull.rcvtimeo = 10
    with pytest.raises(zmq.Again):
        pull.recv()


def test_sndtimeo_ends_the_wait(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH)
    push.bind("tcp://127.0.0.1:*")
    push.sndtimeo = 10
    with pytest.raises(zmq.Again):
        push.send(b"nobody is there")


def test_bound_push_without_peers_would_block(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH)
    assert number_of(push.send, b"", zmq.NOBLOCK) == zmq.EAGAIN
    push.bind("tcp://127.0.0.1:*")
    assert number_of(push.send, b"", zmq.NOBLOCK) == zmq.EAGAIN


def test_connected_push_queues_up_to_its_mark(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH)
    push.sndhwm = 2
    push.connect("tcp://127.0.0.1:9")
    push.send(b"", zmq.NOBLOCK)
    push.send(b"", zmq.NOBLOCK)
    assert number_of(push.send, b"", zmq.NOBLOCK) == zmq.EAGAIN


def test_parts_are_sent_and_received_one_by_one(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    push.send(b"a", zmq.SNDMORE)
    push.send(b"b", flags=zmq.SNDMORE | zmq.NOBLOCK)
    push.send_multipart([b"c", b"d"])
    received = []
    while True:
        received.append(pull.recv())
        if not pull.getsockopt(zmq.RCVMORE):
            break
    assert received == [b"a", b"b", b"c", b"d"]


def test_recv_multipart_takes_the_rest_of_a_message(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    push.send_multipart([b"a", b"b", b"c"])
    assert pull.recv() == b"a"
    assert pull.rcvmore == 1
    assert pull.recv_multipart() == [b"b", b"c"]
    assert pull.rcvmore == 0


def test_first_part_is_refused_where_there_is_no_room(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH)
    push.bind("tcp://127.0.0.1:*")
    assert number_of(push.send, b"", zmq.SNDMORE | zmq.NOBLOCK) == zmq.EAGAIN


def test_json_and_serialized_messages(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    push.send_json({"ä": [1, 2.5, None]})
    assert pull.recv_json() == {"ä": [1, 2.5, None]}
    push.send_serialized("ab", lambda text: [part.encode() for part in text])
    assert pull.recv_serialized(lambda parts: b"-".join(parts)) == b"a-b"


def test_pyobj_needs_a_codec_and_names_the_typed_one(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    with pytest.raises(zmq.NotSupportedError, match="MessageCodec"):
        push.send_pyobj([1])
    with pytest.raises(zmq.NotSupportedError, match="pyobj_codec"):
        pull.recv_pyobj()


class MsgpackCodec:
    def encode(self, obj: Any) -> bytes:
        return msgspec.msgpack.encode(obj)

    def decode(self, data: bytes) -> Any:
        return msgspec.msgpack.decode(data)


def test_pyobj_uses_the_codec_that_is_given(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    push.send_pyobj({"a": [1, b"x"]}, pyobj_codec=MsgpackCodec())
    assert pull.recv_pyobj(pyobj_codec=MsgpackCodec()) == {"a": [1, b"x"]}


def test_frames_are_buffers_and_know_what_follows(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    tracker = push.send_multipart([zmq.Frame(b"a"), b"b"], copy=False, track=True)
    assert tracker is not None
    assert tracker.done
    first = pull.recv(copy=False)
    assert (first.bytes, bytes(memoryview(first)), first.more) == (b"a", b"a", True)
    (second,) = pull.recv_multipart(copy=False)
    assert (second.buffer.tobytes(), second.get(zmq.MORE)) == (b"b", 0)


def test_recv_into_takes_what_fits(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    for _ in range(2):
        push.send(b"hello")
    buffer = bytearray(3)
    assert pull.recv_into(buffer) == 5
    assert buffer == b"hel"
    wide = array("Q", [0])
    assert pull.recv_into(wide, nbytes=2) == 5
    assert wide.tobytes()[:3] == b"he\0"
    with pytest.raises(BufferError):
        pull.recv_into(b"read-only")
    with pytest.raises(ValueError, match="nbytes"):
        pull.recv_into(buffer, nbytes=4)


def test_wrong_direction_is_not_supported(zmq_context: zmq.Context) -> None:
    pull, push = join(zmq_context, zmq.PULL, zmq.PUSH)
    assert number_of(pull.send, b"") == zmq.ENOTSUP
    assert number_of(push.recv) == zmq.ENOTSUP


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("ftl://a", zmq.EPROTONOSUPPORT),
        ("tcp://", zmq.EINVAL),
        ("tcp:*", zmq.EINVAL),
        ("tcp://127.0.0.1:123456", zmq.EINVAL),
        ("ipc:///no/such/directory/a", errno.ENOENT),
    ],
)
def test_bad_endpoint_is_named(
    zmq_context: zmq.Context, address: str, number: int
) -> None:
    push = zmq_context.socket(zmq.PUSH)
    with pytest.raises(zmq.ZMQError) as caught:
        push.bind(address)
    assert caught.value.errno == number
    assert address in str(caught.value)


def test_address_in_use(zmq_context: zmq.Context) -> None:
    first, second = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PULL)
    first.bind("tcp://127.0.0.1:*")
    endpoint = first.getsockopt(zmq.LAST_ENDPOINT)
    assert number_of(second.bind, endpoint) == zmq.EADDRINUSE


def test_beyond_loopback_must_be_asked_for(zmq_context: zmq.Context) -> None:
    pull = zmq_context.socket(zmq.PULL)
    with pytest.raises(zmq.ZMQError, match="insecure=True") as caught:
        pull.bind("tcp://*:*")
    assert caught.value.errno == errno.EACCES
    with zmq.Context(insecure=True) as open_to_all:
        pull = open_to_all.socket(zmq.PULL)
        assert pull.bind_to_random_port("tcp://*") > 0
        pull.close()


def test_ipc_wildcard_is_private_and_leaves_nothing(zmq_context: zmq.Context) -> None:
    pull, push = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PUSH)
    pull.bind("ipc://*")
    endpoint = pull.last_endpoint.decode()
    directory = Path(endpoint.removeprefix("ipc://")).parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    push.connect(endpoint)
    push.send(b"x")
    assert pull.recv() == b"x"
    pull.close()
    assert not directory.exists()


def test_bind_and_connect_are_undone_by_their_scopes(zmq_context: zmq.Context) -> None:
    pull, push = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PUSH)
    with pull.bind("tcp://127.0.0.1:*") as bound:
        assert bound is pull
        endpoint = pull.last_endpoint
        with push.connect(endpoint.decode()):
            push.send(b"x")
            assert pull.recv() == b"x"
        assert number_of(push.disconnect, endpoint) == errno.ENOENT
    assert number_of(pull.unbind, endpoint) == errno.ENOENT


def test_unbind_takes_the_wildcard_that_was_bound(zmq_context: zmq.Context) -> None:
    pull = zmq_context.socket(zmq.PULL)
    pull.bind("tcp://127.0.0.1:*")
    pull.unbind("tcp://127.0.0.1:*")


def test_random_port_of_a_range(zmq_context: zmq.Context) -> None:
    first, second = zmq_context.socket(zmq.PULL), zmq_context.socket(zmq.PULL)
    port = first.bind_to_random_port("tcp://127.0.0.1", 20000, 40000)
    assert 20000 <= port < 40000
    with pytest.raises(zmq.ZMQBindError):
        second.bind_to_random_port("tcp://127.0.0.1", port, port + 1, max_tries=2)


def test_options_begin_as_in_libzmq_and_are_kept(zmq_context: zmq.Context) -> None:
    zmq_context.sockopts.clear()
    dealer = zmq_context.socket(zmq.DEALER)
    assert (dealer.linger, dealer.sndhwm, dealer.rcvtimeo) == (-1, 1000, -1)
    dealer.hwm = 7
    dealer.setsockopt(zmq.IDENTITY, b"me")
    dealer.setsockopt_string(zmq.ROUTING_ID, "us")
    dealer.LINGER = 0
    assert (dealer.SNDHWM, dealer.get(zmq.RCVHWM), dealer.get_hwm()) == (7, 7, 7)
    assert dealer.getsockopt_string(zmq.IDENTITY) == "us"
    assert (dealer.type, dealer.TYPE) == (zmq.DEALER, zmq.DEALER)


def test_option_of_an_open_socket_cannot_change(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH)
    push.bind("tcp://127.0.0.1:*")
    push.sndhwm = 1000
    push.linger = 5
    with pytest.raises(zmq.ZMQError, match="SNDHWM is fixed once") as caught:
        push.sndhwm = 5
    assert caught.value.errno == zmq.EINVAL
    assert push.sndhwm == 1000


def test_wrong_options_are_refused(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH)
    assert number_of(push.setsockopt, 9999, 5) == zmq.EINVAL
    assert number_of(push.getsockopt, 9999) == zmq.EINVAL
    assert number_of(push.setsockopt, zmq.EVENTS, 1) == zmq.EINVAL
    assert number_of(push.setsockopt, zmq.SUBSCRIBE, b"") == zmq.EINVAL
    assert number_of(push.setsockopt, zmq.SNDHWM, -1) == zmq.EINVAL
    with pytest.raises(zmq.NotSupportedError, match="key="):
        push.curve_server = 1
    with pytest.raises(TypeError):
        push.setsockopt(zmq.IDENTITY, "text")
    with pytest.raises(TypeError):
        push.setsockopt(zmq.LINGER, b"bytes")
    with pytest.raises(AttributeError):
        push.apple = 1
    with pytest.raises(AttributeError):
        _ = push.apple
    with pytest.raises(AttributeError):
        _ = push.subscribed


def test_options_of_busduct_win(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH, hwm_messages=1, linger=None)
    push.connect("tcp://127.0.0.1:9")
    push.send(b"", zmq.NOBLOCK)
    assert number_of(push.send, b"", zmq.NOBLOCK) == zmq.EAGAIN
    push.close(linger=0)


def test_closed_socket_refuses_everything(zmq_context: zmq.Context) -> None:
    pull = zmq_context.socket(zmq.PULL)
    pull.close()
    pull.close()
    assert pull.closed
    for call in (pull.bind, pull.connect, pull.unbind, pull.disconnect):
        assert number_of(call, "tcp://127.0.0.1:*") == zmq.ENOTSOCK
    assert number_of(pull.recv) == zmq.ENOTSOCK
    assert number_of(pull.poll) == zmq.ENOTSOCK
    assert number_of(pull.get, zmq.TYPE) == zmq.ENOTSOCK


def test_no_such_kind(zmq_context: zmq.Context) -> None:
    assert number_of(zmq_context.socket, 77) == zmq.EINVAL
    assert number_of(zmq_context.socket, zmq.STREAM) == zmq.ENOTSUP


def test_monitor_names_what_there_is(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH)
    with pytest.raises(zmq.NotSupportedError, match=r"Socket\.monitor"):
        push.get_monitor_socket()
