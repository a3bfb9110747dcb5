"""Events that endpoints send, and what an accumulator makes of them."""

from typing import Any

import msgspec

from busduct.endpoint import (
    OpenAIChatAdapter,
    OpenAISSEAccumulator,
    SGLangGenerateAdapter,
    SGLangSSEAccumulator,
    SSEAccumulatorProtocol,
)
from busduct.messages import QueryResult, StreamChunk


def run(
    adapter: Any, accumulator: SSEAccumulatorProtocol, events: list[Any]
) -> tuple[list[StreamChunk], QueryResult]:
    """Pass events through; what comes out must survive the way to the caller."""
    chunks = []
    for event in events:
        chunk = accumulator.add_chunk(adapter.decode_event(msgspec.json.encode(event)))
        if chunk is not None:
            chunks.append(chunk)
    result = accumulator.get_final_output()
    assert [chunk.id for chunk in chunks] == ["q1"] * len(chunks)
    assert result.id == "q1"
    assert sent(result, QueryResult) == result
    assert [sent(chunk, StreamChunk) for chunk in chunks] == chunks
    return chunks, result


def sent(item: Any, kind: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(item), type=kind)


def chat(
    *events: Any, stream_all_chunks: bool = True
) -> tuple[list[StreamChunk], QueryResult]:
    accumulator = OpenAISSEAccumulator("q1", stream_all_chunks)
    return run(OpenAIChatAdapter, accumulator, list(events))


def sglang(
    *events: Any, stream_all_chunks: bool = True
) -> tuple[list[StreamChunk], QueryResult]:
    accumulator = SGLangSSEAccumulator("q1", stream_all_chunks)
    return run(SGLangGenerateAdapter, accumulator, list(events))


def delta(finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": fields, "finish_reason": finish_reason}
    return {"id": "a", "object": "chat.completion.chunk", "choices": [choice]}


def call(**fields: Any) -> dict[str, Any]:
    return delta(tool_calls=[fields])


def grown(text: str | None, ids: list[int], total: int | None, **about: Any) -> Any:
    meta_info = {"finish_reason": None, "completion_tokens": total, **about}
    return {"text": text, "output_ids": ids, "meta_info": meta_info}


def texts(chunks: list[StreamChunk]) -> list[str]:
    return [chunk.response_chunk for chunk in chunks]
