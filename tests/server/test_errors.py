"""What clients are told when a request cannot be served."""

import json
import logging
import socket
from collections.abc import Iterator

import pytest
from tests.server.hosting import Client, hosted
from tests.server.stand_in import StandInEngine

COMPLETIONS = "/v1/completions"
CHAT = "/v1/chat/completions"
GOOD = {"model": "stand-in", "prompt": "Once", "max_tokens": 2}
GOOD_CHAT = {
    "model": "stand-in",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 2,
}
# The field at fault, the request, the field's bad value.
BAD_FIELDS = [
    ("max_tokens", GOOD, {"max_tokens": "many"}),
    ("max_tokens", GOOD, {"max_tokens": 0}),
    ("max_tokens", GOOD, {"max_tokens": 2**70}),
    ("temperature", GOOD, {"temperature": 3}),
    ("temperature", GOOD, {"temperature": -0.1}),
    ("top_p", GOOD, {"top_p": 0}),
    ("seed", GOOD, {"seed": 1.5}),
    ("seed", GOOD, {"seed": 2**70}),
    ("stop", GOOD, {"stop": ["a", "b", "c", "d", "e"]}),
    ("stop", GOOD, {"stop": [""]}),
    ("stop[1]", GOOD, {"stop": ["a", 1]}),
    ("stream", GOOD, {"stream": "yes"}),
    ("stream_options.include_usage", GOOD, {"stream_options": {"include_usage": 1}}),
    ("model", GOOD, {"model": 5}),
    ("prompt", GOOD, {"prompt": []}),
    ("prompt", GOOD, {"prompt": ["a", 5]}),
    ("prompt", GOOD, {"prompt": ["a"] * 65}),
    ("prompt[0][1]", GOOD, {"prompt": [[1, "x"]]}),
    ("echo", GOOD, {"prompt": [1, 2], "echo": True}),
    ("n", GOOD, {"n": 2}),
    ("best_of", GOOD, {"best_of": 3}),
    ("logprobs", GOOD, {"logprobs": 0}),
    ("suffix", GOOD, {"suffix": "end"}),
    ("presence_penalty", GOOD, {"presence_penalty": 1.0}),
    ("logit_bias", GOOD, {"logit_bias": {"5": 1}}),
    ("messages", GOOD_CHAT, {"messages": []}),
    ("messages[0].role", GOOD_CHAT, {"messages": [{"role": "x", "content": "y"}]}),
    ("messages[0].content", GOOD_CHAT, {"messages": [{"role": "user"}]}),
    (
        "messages[0].content[0].type",
        GOOD_CHAT,
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    ),
    ("max_completion_tokens", GOOD_CHAT, {"max_completion_tokens": 0}),
    ("logprobs", GOOD_CHAT, {"logprobs": True}),
    ("tools", GOOD_CHAT, {"tools": [{"type": "function"}]}),
    ("response_format.type", GOOD_CHAT, {"response_format": {"type": "json_object"}}),
]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """One service for all: what one client did wrong may not show to the next."""
    with hosted(StandInEngine()) as client:
        yield client


@pytest.mark.parametrize(("param", "good", "bad"), BAD_FIELDS)
def test_a_bad_field_is_named(
    client: Client, param: str, good: dict[str, object], bad: dict[str, object]
) -> None:
    reply = client.post(COMPLETIONS if good is GOOD else CHAT, {**good, **bad})
    assert reply.status == 400
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["param"] == param
    assert param in reply.error["message"]


@pytest.mark.parametrize("name", ["model", "prompt"])
def test_a_missing_field_is_named(client: Client, name: str) -> None:
    body = {key: value for key, value in GOOD.items() if key != name}
    reply = client.post(COMPLETIONS, body)
    assert (reply.status, reply.error["param"]) == (400, name)
    assert reply.error["code"] == "missing_field"


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"model":', b"\xff", b'{"model": "\xff"}', b"[" * 100_000]
)
def test_a_body_that_is_not_json_is_refused(client: Client, body: bytes) -> None:
    reply = client.post(COMPLETIONS, body)
    assert reply.status == 400
    assert reply.error["type"] == "invalid_request_error"


def test_an_unknown_model_is_not_found(client: Client) -> None:
    reply = client.post(COMPLETIONS, {**GOOD, "model": "gpt-9"})
    assert reply.status == 404
    assert reply.error["code"] == "model_not_found"
    assert "gpt-9" in reply.error["message"]
    assert client.get("/v1/models/gpt-9").error["code"] == "model_not_found"


def test_an_unknown_path_is_not_found(client: Client) -> None:
    reply = client.get("/v2/anything")
    assert reply.status == 404
    assert reply.error["code"] == "not_found"


def test_a_wrong_method_is_told_the_right_one(client: Client) -> None:
    reply = client.get(COMPLETIONS)
    assert reply.status == 405
    assert reply.error["code"] == "wrong_method"
    assert reply.headers["allow"] == "POST"


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused(engine: StandInEngine, chunked: bool) -> None:
    with hosted(engine, max_body_bytes=1000) as client:
        with socket.create_connection(("127.0.0.1", client.port), 20) as peer:
            head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\n"
            if chunked:
                head += b"transfer-encoding: chunked\r\n\r\n"
                peer.sendall(head + b"3e9\r\n" + b"x" * 1001)
            else:
                peer.sendall(head + b"content-length: 1001\r\n\r\n")
            assert peer.recv(1000).startswith(b"HTTP/1.1 413 ")
        assert client.post(COMPLETIONS, GOOD).status == 200


def test_a_body_that_does_not_come_times_out(engine: StandInEngine) -> None:
    head = b"POST /v1/completions HTTP/1.1\r\ncontent-length: 9\r\n\r\n"
    with (
        hosted(engine, body_timeout=0.05) as client,
        socket.create_connection(("127.0.0.1", client.port), 20) as peer,
    ):
        peer.sendall(head)
        assert peer.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_bytes_that_are_not_http_are_refused(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), 20) as peer:
        peer.sendall(b"\x00\xffgarbage\r\n\r\n")
        head, _, body = peer.recv(1000).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["code"] == "invalid_http"
    assert client.post(COMPLETIONS, GOOD).status == 200


FAILURES = [
    ("too long", 400, "context_length_exceeded", "invalid_request_error"),
    ("overloaded", 429, "overloaded", "rate_limit_error"),
    ("internal", 500, "internal_error", "server_error"),
    ("worker dies", 503, "worker_died", "server_error"),
    ("dead", 503, "engine_dead", "server_error"),
    ("bug", 500, "internal_error", "server_error"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompts", ["one", "two"])
@pytest.mark.parametrize(("cause", "status", "code", "kind"), FAILURES)
def test_an_error_before_the_first_piece_has_its_status(
    client: Client,
    cause: str,
    status: int,
    code: str,
    kind: str,
    prompts: str,
    stream: bool,
) -> None:
    prompt = f"fail: {cause}"
    asked = {"prompt": prompt if prompts == "one" else [prompt, prompt]}
    reply = client.post(COMPLETIONS, {**GOOD, **asked, "stream": stream})
    assert reply.status == status
    assert (reply.error["code"], reply.error["type"]) == (code, kind)


@pytest.mark.parametrize(("cause", "status", "code", "kind"), FAILURES)
def test_an_error_in_a_stream_is_its_last_event(
    client: Client, cause: str, status: int, code: str, kind: str
) -> None:
    asked = {"prompt": f"break: {cause}", "stream": True}
    reply = client.post(COMPLETIONS, {**GOOD, **asked})
    assert reply.status == 200
    first, last = reply.events
    assert first["choices"][0]["text"] == " w0"
    assert last["error"]["code"] == code
    assert last["error"]["type"] == kind


def test_a_bug_is_logged_and_not_told(
    engine: StandInEngine, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), hosted(engine) as client:
        reply = client.post(COMPLETIONS, {**GOOD, "prompt": "fail: bug"})
    assert b"secret" not in reply.body
    assert "secret detail" in caplog.text
