"""Accumulators: what is the same of both kinds."""

from typing import Any

import pytest
from tests.endpoint.accumulating import chat, sglang

from busduct.endpoint import (
    OpenAIChatAdapter,
    OpenAISSEAccumulator,
    SGLangGenerateAdapter,
    SGLangSSEAccumulator,
    SSEAccumulatorProtocol,
    SSEParser,
)

ACCUMULATORS = [OpenAISSEAccumulator, SGLangSSEAccumulator]


@pytest.mark.parametrize("kind", ACCUMULATORS)
def test_accumulator_satisfies_the_protocol(kind: Any) -> None:
    assert isinstance(kind("q1", True), SSEAccumulatorProtocol)


@pytest.mark.parametrize("kind", ACCUMULATORS)
@pytest.mark.parametrize("foreign", [None, "text", {"choices": []}, object()])
def test_what_is_no_event_adds_nothing(kind: Any, foreign: Any) -> None:
    accumulator = kind("q1", True)
    assert accumulator.add_chunk(foreign) is None
    assert accumulator.get_final_output().metadata["first_chunk"] is True


@pytest.mark.parametrize("kind", ACCUMULATORS)
def test_stream_without_events_gives_an_empty_output(kind: Any) -> None:
    result = kind("q1", True).get_final_output()
    assert str(result.response_output) == ""
    assert result.error is None
    assert result.metadata["final_chunk"] is True


def test_error_before_any_output_leaves_none() -> None:
    _, result = chat({"error": "m"})
    assert result.response_output is None
    assert result.error is not None
    _, result = sglang({"error": {"message": "m"}})
    assert result.response_output is None
    assert result.error is not None


def test_error_is_seen_as_soon_as_it_has_come() -> None:
    for adapter, kind in (
        (OpenAIChatAdapter, OpenAISSEAccumulator),
        (SGLangGenerateAdapter, SGLangSSEAccumulator),
    ):
        accumulator: Any = kind("q1", True)
        accumulator.add_chunk(adapter.decode_event(b'{"error":null}'))
        assert accumulator.error is None
        accumulator.add_chunk(adapter.decode_event(b'{"error":"m"}'))
        assert str(accumulator.error) == "endpoint: m"
        accumulator.add_chunk(adapter.decode_event(b'{"error":null}'))
        assert str(accumulator.error) == "endpoint: m"


def test_stream_from_bytes_to_result() -> None:
    stream = (
        b": ok\r\n\r\n"
        b'data: {"choices":[{"delta":{"role":"assistant"}}]}\r\n\r\n'
        b'data: {"choices":[{"delta":{"content":"h\xc3\xa9"}}]}\r\n\r\n'
        b'data: {"choices":[{"delta":{"content":"!"},\r\n'
        b'data: "finish_reason":"stop"}]}\r\n\r\n'
        b"data: [DONE]\r\n\r\n"
    )
    parser = SSEParser()
    accumulator = OpenAISSEAccumulator("q1", True)
    texts = []
    for value in stream:
        for data in parser.feed(bytes([value])):
            chunk = accumulator.add_chunk(OpenAIChatAdapter.decode_event(data))
            texts.append(chunk.response_chunk if chunk else None)
    assert texts == [None, "hé", "!", None]
    assert not parser.finish()
    assert accumulator.get_final_output().metadata["finish_reason"] == "stop"
