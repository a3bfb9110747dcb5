"""A client that leaves takes its request with it."""

import socket

import pytest
from tests.server.hosting import Client
from tests.server.stand_in import StandInEngine

HOLD = {"model": "stand-in", "prompt": "hold", "max_tokens": 5}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["hold", ["hold", "hold", "hold"]])
def test_leaving_aborts_the_request(
    client: Client, engine: StandInEngine, stream: bool, prompt: object
) -> None:
    body = {**HOLD, "prompt": prompt, "stream": stream}
    with client.open("/v1/completions", body) as peer:
        assert engine.wait_running(3 if isinstance(prompt, list) else 1)
        if stream:
            assert peer.recv(1000)
    assert engine.wait_running(0)


def test_leaving_a_chat_aborts_it(client: Client, engine: StandInEngine) -> None:
    messages = [{"role": "user", "content": "hold"}]
    body = {"model": "stand-in", "messages": messages, "stream": True}
    with client.open("/v1/chat/completions", {**body, "max_tokens": 10**6}) as peer:
        assert peer.recv(1000)
        assert engine.wait_running(1)
    assert engine.wait_running(0)


def test_a_reader_that_stalls_stops_its_request_only(
    client: Client, engine: StandInEngine
) -> None:
    endless = {"model": "stand-in", "prompt": "x", "max_tokens": 10**6, "stream": True}
    with client.open("/v1/completions", endless):
        assert engine.wait_running(1)
        for _ in range(20):
            quick = {"model": "stand-in", "prompt": "x", "max_tokens": 2}
            assert client.post("/v1/completions", quick).status == 200
        assert engine.health().num_running == 1
    assert engine.wait_running(0)


def test_leaving_before_the_body_is_sent_harms_nobody(
    client: Client, engine: StandInEngine
) -> None:
    for head in (b"", b"POST /v1/comp", b"POST /v1/completions HTTP/1.1\r\n"):
        with socket.create_connection(("127.0.0.1", client.port), 20) as peer:
            peer.sendall(head)
    with socket.create_connection(("127.0.0.1", client.port), 20) as peer:
        peer.sendall(b"POST /v1/completions HTTP/1.1\r\ncontent-length: 50\r\n\r\n{")
    assert client.get("/health").status == 200
    assert not engine.asked
