"""The endpoint client with servers as they are: ours, one with a key, and none."""

import asyncio
from collections.abc import Iterator

import pytest
from tests.endpoint.serving import config_of, query, serving, text_of
from tests.processes.conditions import until
from tests.server.hosting import Client as Server
from tests.server.hosting import hosted
from tests.server.stand_in import StandInEngine

from busduct.endpoint import HTTPClientConfig, HTTPEndpointClient
from busduct.errors import ConfigError, QueryError
from busduct.messages import Query
from busduct.transport.pool import (
    AnyTransportConfig,
    ShmTransportConfig,
    ZMQTransportConfig,
)

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def engine() -> StandInEngine:
    return StandInEngine()


@pytest.fixture
def server(engine: StandInEngine) -> Iterator[Server]:
    """Our own HTTP server, in front of an engine that counts words."""
    with hosted(engine) as server:
        yield server


def settings_for(server: Server, api_type: str) -> HTTPClientConfig:
    return HTTPClientConfig(
        endpoint_urls=[f"http://127.0.0.1:{server.port}"],
        api_type=api_type,  # type: ignore[arg-type]
        num_workers=1,
        warmup_connections=0,
    )


def words(prompt: str, count: int = 4) -> Query:
    return Query(data={"model": "stand-in", "prompt": prompt, "max_tokens": count})


@pytest.mark.parametrize("api_type", ["openai", "openai_completions"])
async def test_busducts_server_answers_in_one_piece_and_streamed(
    api_type: str, server: Server
) -> None:
    with HTTPEndpointClient(settings_for(server, api_type)) as client:
        asked = [client.request(words("count")) for _ in range(20)]
        for result in await asyncio.gather(*asked):
            assert text_of(result) == " w0 w1 w2 w3"
            assert result.metadata["finish_reason"] == "length"
            assert result.metadata["usage"]["completion_tokens"] == 4
        stream = client.stream(words("count"))
        text = "".join([chunk.response_chunk async for chunk in stream])
        assert text == text_of(stream.result) == " w0 w1 w2 w3"


async def test_what_busducts_server_refuses_is_told_with_its_status(
    server: Server,
) -> None:
    with HTTPEndpointClient(settings_for(server, "openai_completions")) as client:
        with pytest.raises(QueryError, match="context_length_exceeded") as caught:
            await client.request(words("fail: too long"), raise_on_error=True)
        assert caught.value.status == 400
        stream = client.stream(words("break: worker dies"))
        assert (await anext(stream)).response_chunk == " w0"
        with pytest.raises(QueryError) as caught:
            await anext(stream)
        assert caught.value.error_type == "endpoint"


async def test_leaving_a_stream_aborts_it_at_busducts_engine(
    server: Server, engine: StandInEngine
) -> None:
    with HTTPEndpointClient(settings_for(server, "openai_completions")) as client:
        async with client.stream(words("hold")) as stream:
            assert (await anext(stream)).response_chunk == " w0"
            assert engine.health().num_running == 1
        await until(lambda: engine.health().num_running == 0)


async def test_the_key_is_sent(engine: StandInEngine) -> None:
    with hosted(engine, api_key="sk-right") as server:
        config = settings_for(server, "openai_completions")
        with HTTPEndpointClient(config.with_updates(api_key="sk-right")) as client:
            assert text_of(await client.request(words("count", 1))) == " w0"
        with HTTPEndpointClient(config.with_updates(api_key="sk-wrong")) as client:
            result = await client.request(words("count", 1))
        assert result.error is not None
        assert result.error.status == 401
        assert "sk-wrong" not in str(result)


async def test_an_endpoint_that_is_not_there_is_an_error_of_the_query(
    own_port: int,
) -> None:
    url = f"http://127.0.0.1:{own_port}"
    config = HTTPClientConfig(endpoint_urls=[url], num_workers=1)
    with HTTPEndpointClient(config) as client:
        result = await client.request(query("anybody?"))
    assert result.error is not None
    assert result.error.error_type == "connection"
    assert f"127.0.0.1:{own_port}" in result.error.error_message


@pytest.mark.usefixtures("rust")
@pytest.mark.parametrize("transport", [ZMQTransportConfig(), ShmTransportConfig()])
async def test_a_prompt_larger_than_any_buffer_arrives(
    transport: AnyTransportConfig,
) -> None:
    with (
        serving(mode="max", echo=False) as echo,
        HTTPEndpointClient(config_of(echo, transport=transport)) as client,
    ):
        result = await client.request(query("x" * (64 << 20)))
        assert result.error is None
        assert text_of(await client.request(query("small"))) == "x" * 160


async def test_an_answer_larger_than_any_buffer_arrives() -> None:
    with serving() as echo, HTTPEndpointClient(config_of(echo)) as client:
        prompt = "0123456789abcdef" * (1 << 20)
        assert text_of(await client.request(query(prompt))) == prompt


def test_shared_memory_is_required_where_it_cannot_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", "python")
    config = HTTPClientConfig(
        endpoint_urls=["http://127.0.0.1:1"], transport=ShmTransportConfig()
    )
    with pytest.raises(ConfigError, match="shared memory"):
        HTTPEndpointClient(config)
