"""The echo server, asked over sockets."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.endpoint.echo.asking import (
    CHAT,
    COMPLETIONS,
    GENERATE,
    ask,
    connected,
    read_answer,
    request,
)

from busduct.endpoint.echo import EchoConfig, EchoServer
from busduct.errors import (
    AddressInUseError,
    AuthError,
    ClosedError,
    ConfigError,
)

pytestmark = pytest.mark.usefixtures("no_leaks")

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(params=["max", "variable"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


def server(mode: Any, **settings: Any) -> EchoServer:
    given = {"output_length": 10, "stream_interval": 4, **settings}
    return EchoServer(EchoConfig(mode=mode, **given))


async def test_chat_in_one_piece(any_loop: str, mode: Any) -> None:
    async with server(mode) as echo:
        answer = await ask(echo.port, CHAT, {"messages": []})
    (choice,) = answer.json["choices"]
    assert choice["message"]["content"] == "x" * 10
    assert choice["finish_reason"] == "stop"
    assert answer.json["usage"]["completion_tokens"] == 10


async def test_chat_streamed(any_loop: str, mode: Any) -> None:
    async with server(mode) as echo:
        answer = await ask(echo.port, CHAT, {"messages": [], **STREAMED})
    assert answer.headers["content-type"] == "text/event-stream"
    *events, ending, usage = answer.events
    deltas = [event["choices"][0]["delta"] for event in events]
    assert [delta["content"] for delta in deltas] == ["xxxx", "xxxx", "xx"]
    assert [delta.get("role") for delta in deltas] == ["assistant", None, None]
    assert ending["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 10


async def test_usage_is_streamed_only_if_asked_for(mode: Any) -> None:
    async with server(mode) as echo:
        answer = await ask(echo.port, CHAT, {"messages": [], "stream": True})
    assert not any("usage" in event for event in answer.events)


async def test_completions(mode: Any) -> None:
    async with server(mode) as echo:
        whole = await ask(echo.port, COMPLETIONS, {"prompt": "abc"})
        streamed = await ask(echo.port, COMPLETIONS, {"prompt": "abc", **STREAMED})
    assert whole.json["choices"][0]["text"] == "x" * 10
    *events, ending, usage = streamed.events
    texts = [event["choices"][0]["text"] for event in events]
    assert texts == ["xxxx", "xxxx", "xx"]
    assert ending["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["completion_tokens"] == 10


async def test_generate_brings_the_text_so_far_and_the_new_ids(mode: Any) -> None:
    async with server(mode) as echo:
        whole = await ask(echo.port, GENERATE, {"text": "abc"})
        streamed = await ask(echo.port, GENERATE, {"text": "abc", "stream": True})
    assert whole.json["text"] == "x" * 10
    assert whole.json["meta_info"]["completion_tokens"] == 10
    events = streamed.events
    assert [event["text"] for event in events] == ["x" * 4, "x" * 8, "x" * 10]
    assert [len(event["output_ids"]) for event in events] == [4, 4, 2]
    counts = [event["meta_info"]["completion_tokens"] for event in events]
    assert counts == [4, 8, 10]
    assert [bool(e["meta_info"]["finish_reason"]) for e in events] == [0, 0, 1]


async def test_prompt_that_speaks_of_streams_is_not_streamed(mode: Any) -> None:
    text = 'say "stream": true, and {"stream": true}'
    async with server(mode) as echo:
        answer = await ask(
            echo.port, CHAT, {"messages": [{"role": "user", "content": text}]}
        )
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("field", [b'"stream":true', b'"stream" :\n true'])
async def test_any_spacing_asks_for_a_stream(mode: Any, field: bytes) -> None:
    async with server(mode) as echo:
        answer = await ask(echo.port, CHAT, b"{" + field + b"}")
    assert answer.headers["content-type"] == "text/event-stream"


async def test_pages(mode: Any) -> None:
    async with server(mode, model="some-model") as echo:
        health = await ask(echo.port, "/health", method="GET")
        models = await ask(echo.port, "/v1/models?a=b", method="GET")
    assert health.status == 200
    assert [card["id"] for card in models.json["data"]] == ["some-model"]


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [("/nope", "POST", 404), ("/nope", "GET", 404), (CHAT, "GET", 405)],
)
async def test_what_is_not_there(
    mode: Any, path: str, method: str, status: int
) -> None:
    async with server(mode) as echo, connected(echo.port) as (reader, writer):
        writer.write(request(path, method=method) + request(CHAT))
        answer = await read_answer(reader)
        assert answer.status == status
        assert answer.json["error"]["type"] == "invalid_request_error"
        # The connection goes on.
        assert (await read_answer(reader)).status == 200


async def test_pipelined_requests_are_answered_in_order(
    any_loop: str, mode: Any
) -> None:
    async with server(mode) as echo, connected(echo.port) as (reader, writer):
        asked = [CHAT, "/nope", GENERATE, COMPLETIONS] * 50
        writer.write(b"".join(request(path) for path in asked))
        for path in asked:
            answer = (await read_answer(reader)).json
            kind = "error" if path == "/nope" else answer.get("object", "generate")
            assert (
                kind
                == {
                    CHAT: "chat.completion",
                    COMPLETIONS: "text_completion",
                    GENERATE: "generate",
                    "/nope": "error",
                }[path]
            )
        assert echo.num_requests == len(asked)


async def test_request_that_comes_byte_by_byte(mode: Any) -> None:
    async with server(mode) as echo, connected(echo.port) as (reader, writer):
        for byte in request(CHAT, {"stream": True}) * 2:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        for _ in range(2):
            assert len((await read_answer(reader)).events) == 4


async def test_request_that_says_close_is_the_last(mode: Any) -> None:
    async with server(mode) as echo, connected(echo.port) as (reader, writer):
        writer.write(request(CHAT, headers="connection: close\r\n") + request(CHAT))
        assert (await read_answer(reader)).status == 200
        assert await reader.read() == b""


async def test_what_is_not_http_gets_400_and_is_closed(mode: Any) -> None:
    async with server(mode) as echo, connected(echo.port) as (reader, writer):
        writer.write(b"\x16\x03\x01 not http\r\n\r\n")
        assert (await read_answer(reader)).status == 400
        assert await reader.read() == b""


async def test_body_beyond_the_limit_gets_413_and_is_closed(mode: Any) -> None:
    settings = {"max_body_bytes": 100}
    async with server(mode, **settings) as echo:
        assert (await ask(echo.port, CHAT, b'{"a": "%b"}' % (b"b" * 91))).status == 200
        async with connected(echo.port) as (reader, writer):
            writer.write(request(CHAT, b"b" * 101))
            assert (await read_answer(reader)).status == 413
            assert await reader.read() == b""


async def test_path_without_end_is_refused(mode: Any) -> None:
    async with server(mode) as echo, connected(echo.port) as (reader, writer):
        writer.write(b"POST /" + b"a" * 20_000)
        assert (await read_answer(reader)).status == 414
        assert await reader.read() == b""


async def test_client_that_reads_nothing_is_not_read_either() -> None:
    asked = request(CHAT, {"stream": True, "filling": "x" * 65_536})
    config = EchoConfig(output_length=1000)
    async with EchoServer(config) as echo, connected(echo.port) as (_, writer):
        writer.transport.set_write_buffer_limits(high=1)

        async def send_many() -> None:
            for _ in range(2000):
                writer.write(asked)
                await writer.drain()

        # What the sockets hold is a tenth of it.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(send_many(), 2.0)
        assert echo.num_requests < 1000
        writer.transport.abort()


async def test_close_cuts_connections_off(any_loop: str, mode: Any) -> None:
    echo = server(mode)
    await echo.start()
    async with connected(echo.port) as (reader, writer):
        writer.write(request(CHAT))
        await read_answer(reader)
        assert echo.num_connections == 1
        await echo.aclose()
        assert echo.num_connections == 0
        assert await reader.read() == b""
    with pytest.raises(ClosedError):
        _ = echo.url
    await echo.aclose()


async def test_server_that_nobody_closed_warns() -> None:
    echo = server("max")
    await echo.start()
    serving = echo._serving
    with pytest.warns(ResourceWarning, match="unclosed .*EchoServer"):
        del echo
    assert serving is not None
    await serving.close()


async def test_tls(any_loop: str, mode: Any, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.cert_chain_pems[0].write_to_path(cert)
    certificate.private_key_pem.write_to_path(key)
    tls = ssl.create_default_context()
    authority.configure_trust(tls)
    files = {"cert_file": str(cert), "key_file": str(key)}
    async with server(mode, **files) as echo:
        assert echo.url == f"https://127.0.0.1:{echo.port}"
        async with connected(echo.port, tls) as (reader, writer):
            writer.write(request(CHAT))
            assert (await read_answer(reader)).status == 200


async def test_tls_file_that_is_none_is_told_at_start(tmp_path: Path) -> None:
    path = tmp_path / "cert.pem"
    path.write_text("none")
    files = {"cert_file": str(path), "key_file": str(path)}
    with pytest.raises(ConfigError, match=f"cannot use certificate {path}"):
        await server("max", num_processes=1, **files).start()


@pytest.mark.parametrize("num_processes", [0, 2])
async def test_port_in_use_is_told(num_processes: int) -> None:
    async with server("max", num_processes=num_processes) as echo:
        other = server("max", port=echo.port, num_processes=num_processes)
        with pytest.raises(AddressInUseError, match=f"127.0.0.1:{echo.port} is in use"):
            await other.start()


async def test_other_machines_need_a_word() -> None:
    with pytest.raises(AuthError, match="reachable from other machines"):
        await server("max", host="0.0.0.0").start()
    async with server("max", host="0.0.0.0", insecure=True) as echo:
        assert (await ask(echo.port, CHAT)).status == 200


async def test_host_without_address_is_told() -> None:
    with pytest.raises(ConfigError, match=r"host 'no\.such\.invalid' has no address"):
        await server("max", host="no.such.invalid").start()
