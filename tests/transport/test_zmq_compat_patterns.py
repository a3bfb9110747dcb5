"""Patterns of `zmq_compat` where libzmq's rules and busduct's own are not the same."""

from tests.zmq_faces import TIMEOUT_MS, join, number_of

from busduct.transport import zmq_compat as zmq


def test_request_and_reply_take_turns(zmq_context: zmq.Context) -> None:
    rep, req = join(zmq_context, zmq.REP, zmq.REQ)
    assert number_of(req.recv) == zmq.EFSM
    assert number_of(rep.send, b"") == zmq.EFSM
    assert (req.EVENTS, rep.EVENTS & zmq.POLLOUT) == (zmq.POLLOUT, 0)
    req.send(b"question")
    assert number_of(req.send, b"another") == zmq.EFSM
    assert req.EVENTS == 0
    assert rep.recv() == b"question"
    assert number_of(rep.recv) == zmq.EFSM
    assert rep.EVENTS == zmq.POLLOUT
    rep.send_multipart([b"an", b"swer"])
    assert req.recv_multipart() == [b"an", b"swer"]
    assert req.EVENTS == zmq.POLLOUT


def test_router_speaks_with_a_request(zmq_context: zmq.Context) -> None:
    router, req = join(zmq_context, zmq.ROUTER, zmq.REQ)
    req.send_string("question")
    identity, empty, question = router.recv_multipart()
    router.send(identity, zmq.SNDMORE)
    router.send(empty, zmq.SNDMORE)
    router.send(question.upper())
    assert req.recv_string() == "QUESTION"


def test_lost_reply_is_waited_for_as_in_libzmq(zmq_context: zmq.Context) -> None:
    rep, req = join(zmq_context, zmq.REP, zmq.REQ)
    req.send(b"question")
    assert rep.recv() == b"question"
    rep.close()
    assert req.poll(50) == 0
    req.rcvtimeo = 10
    assert number_of(req.recv) == zmq.EAGAIN
    assert number_of(req.send, b"another") == zmq.EFSM


def test_relaxed_request_may_follow_a_lost_reply(
    zmq_context: zmq.Context, own_port: int
) -> None:
    endpoint = f"tcp://127.0.0.1:{own_port}"
    rep, other = zmq_context.socket(zmq.REP), zmq_context.socket(zmq.REP)
    req = zmq_context.socket(zmq.REQ)
    req.setsockopt(zmq.REQ_RELAXED, 1)
    req.setsockopt(zmq.REQ_CORRELATE, 1)
    rep.bind(endpoint)
    req.connect(endpoint)
    req.send(b"lost")
    assert rep.recv() == b"lost"
    rep.close()
    other.bind(endpoint)
    req.send(b"again")
    assert other.recv() == b"again"
    other.send(b"answer")
    assert req.recv() == b"answer"


def test_reply_to_a_lost_request_is_let_go(zmq_context: zmq.Context) -> None:
    rep, req = join(zmq_context, zmq.REP, zmq.REQ)
    req.send(b"question")
    assert rep.recv() == b"question"
    req.close()
    rep.send(b"to nobody")
    assert number_of(rep.send, b"again") == zmq.EFSM
    endpoint = rep.last_endpoint.decode()
    with zmq_context.socket(zmq.REQ) as another:
        another.connect(endpoint)
        another.send(b"hello")
        assert rep.recv() == b"hello"


def test_router_drops_what_it_cannot_route(zmq_context: zmq.Context) -> None:
    router, dealer = join(zmq_context, zmq.ROUTER, zmq.DEALER)
    router.send_multipart([b"nobody", b"lost"])
    dealer.send(b"hello")
    identity, _ = router.recv_multipart()
    router.send_multipart([identity, b"found"])
    assert dealer.recv() == b"found"


def test_mandatory_router_raises(zmq_context: zmq.Context) -> None:
    router = zmq_context.socket(zmq.ROUTER)
    router.router_mandatory = 1
    assert number_of(router.send_multipart, [b"nobody", b""]) == zmq.EHOSTUNREACH
    router.bind("tcp://127.0.0.1:*")
    assert number_of(router.send_multipart, [b"nobody", b""]) == zmq.EHOSTUNREACH


def test_subscriber_gets_its_topics(zmq_context: zmq.Context) -> None:
    pub, sub = zmq_context.socket(zmq.XPUB), zmq_context.socket(zmq.SUB)
    sub.subscribe("a")
    sub.setsockopt(zmq.SUBSCRIBE, b"b")
    sub.unsubscribe(b"b")
    sub.rcvhwm = 10
    port = pub.bind_to_random_port("tcp://127.0.0.1")
    sub.connect(f"tcp://127.0.0.1:{port}")
    assert pub.recv() == b"\x01a"
    sub.subscribe = b"c"
    assert pub.recv() == b"\x01c"
    for topic in ("a1", "b2", "c3"):
        pub.send_string(topic)
    assert (sub.recv(), sub.recv()) == (b"a1", b"c3")
    sub.unsubscribe("c")
    assert pub.recv() == b"\x00c"
    assert number_of(sub.subscribe, bytes(256)) == zmq.EINVAL


def test_publisher_without_subscribers_never_waits(zmq_context: zmq.Context) -> None:
    pub = zmq_context.socket(zmq.PUB)
    pub.send(b"nobody")
    pub.bind("tcp://127.0.0.1:*")
    assert pub.poll(0, zmq.POLLOUT) == zmq.POLLOUT
    pub.send(b"nobody", zmq.NOBLOCK)


def test_xsub_subscribes_by_messages(zmq_context: zmq.Context) -> None:
    pub, sub = join(zmq_context, zmq.XPUB, zmq.XSUB)
    sub.send(b"\x01topic")
    assert pub.recv() == b"\x01topic"
    pub.send(b"topic and more")
    assert sub.recv() == b"topic and more"


def test_conflate_keeps_the_newest(zmq_context: zmq.Context) -> None:
    push = zmq_context.socket(zmq.PUSH)
    push.setsockopt(zmq.CONFLATE, 1)
    push.connect("inproc://newest")
    for number in range(5):
        push.send_string(str(number))
    pull = zmq_context.socket(zmq.PULL)
    pull.bind("inproc://newest")
    assert pull.recv() == b"4"
    assert pull.poll(10) == 0


def test_pair_over_inproc(zmq_context: zmq.Context) -> None:
    one, two = zmq_context.socket(zmq.PAIR), zmq_context.socket(zmq.PAIR)
    one.bind("inproc://pair")
    two.connect("inproc://pair")
    one.send(b"ping")
    assert two.recv() == b"ping"
    two.send(b"pong")
    assert one.recv() == b"pong"


def test_routing_id_is_announced(zmq_context: zmq.Context) -> None:
    router, dealer = zmq_context.socket(zmq.ROUTER), zmq_context.socket(zmq.DEALER)
    dealer.identity = b"me"
    port = router.bind_to_random_port("tcp://127.0.0.1")
    dealer.connect(f"tcp://127.0.0.1:{port}")
    dealer.send(b"x")
    assert router.poll(TIMEOUT_MS)
    assert router.recv_multipart() == [b"me", b"x"]
