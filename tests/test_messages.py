"""The messages between an endpoint's client and its workers, and their bytes."""

import time
from typing import Any

import msgspec
import pytest

from busduct.messages import (
    ErrorData,
    PromptData,
    Query,
    QueryResult,
    StreamChunk,
    TextModelOutput,
    merge_tool_calls,
)


def wire(message: object) -> Any:
    """Tell what a reader without our types sees."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(message))


def test_query_is_an_array_without_a_tag() -> None:
    query = Query(id="a", data={"prompt": "Hi"}, headers={"x": "y"}, created_at=1.5)
    assert wire(query)[:4] == ["a", {"prompt": "Hi"}, {"x": "y"}, 1.5]


def test_query_of_an_older_writer_has_no_timeout() -> None:
    payload = msgspec.msgpack.encode(["a", {}, {}, 1.5])
    assert msgspec.msgpack.decode(payload, type=Query).timeout is None


def test_result_is_a_tagged_array() -> None:
    result = QueryResult(
        id="a",
        response_output=TextModelOutput(output=("x", "y"), reasoning="z"),
        metadata={"worker_id": 1},
        error=ErrorData(error_type="http", error_message="no", status=503),
        completed_at=7,
    )
    assert wire(result) == [
        "query_result",
        "a",
        ["TextModelOutput", ["x", "y"], "z", None],
        {"worker_id": 1},
        ["ErrorData", "http", "no", 503, None],
        7,
    ]


def test_chunk_is_a_tagged_array() -> None:
    chunk = StreamChunk(id="a", response_chunk="x", metadata={"first_chunk": True})
    assert wire(chunk) == ["stream_chunk", "a", "x", {"first_chunk": True}]


def test_prompt_is_a_tagged_array() -> None:
    assert wire(PromptData(token_ids=(1, 2)))[:3] == ["PromptData", None, [1, 2]]


@pytest.mark.parametrize(
    "message",
    [
        QueryResult(id="a", response_output=TextModelOutput(output=("x", "y"))),
        QueryResult(id="a", error=ErrorData(error_type="timeout")),
        StreamChunk(id="a", response_chunk="x"),
    ],
)
def test_response_decodes_to_what_was_sent(message: QueryResult | StreamChunk) -> None:
    payload = msgspec.msgpack.encode(message)
    decoded = msgspec.msgpack.decode(payload, type=QueryResult | StreamChunk)
    assert decoded == message


def test_result_says_when_it_was_made() -> None:
    before = time.monotonic_ns()
    made = QueryResult(id="a").completed_at
    assert before <= made <= time.monotonic_ns()


def test_decoding_keeps_when_a_result_was_made() -> None:
    result = QueryResult(id="a")
    decoded = msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=QueryResult)
    assert decoded.completed_at == result.completed_at


def test_result_without_a_time_gets_that_of_its_decoding() -> None:
    before = time.monotonic_ns()
    payload = msgspec.msgpack.encode(["query_result", "a"])
    assert msgspec.msgpack.decode(payload, type=QueryResult).completed_at >= before


def test_messages_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Query().id = "b"  # type: ignore[misc]


def test_ids_differ() -> None:
    assert Query().id != Query().id


def test_output_as_text_is_reasoning_answer_and_calls() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    output = TextModelOutput(output=("a", "b"), reasoning="r", tool_calls=(call,))
    assert str(output).startswith("rab[{")
    assert QueryResult(response_output=output).get_response_output_string() == str(
        output
    )


def test_result_without_output_reads_empty() -> None:
    assert QueryResult().get_response_output_string() == "<EMPTY>"


@pytest.mark.parametrize(
    ("output", "rest"),
    [
        (TextModelOutput(output="whole"), ""),
        (TextModelOutput(output=("a", "bc")), "bc"),
        (TextModelOutput(output="answer", reasoning=("r", "s")), "sanswer"),
        (TextModelOutput(output="answer", reasoning="r"), ""),
        (TextModelOutput(), ""),
    ],
)
def test_text_after_the_first_chunk(output: TextModelOutput, rest: str) -> None:
    assert output.text_after_first_chunk() == rest


def test_parts_of_tool_calls_are_joined_by_index() -> None:
    parts = (
        ({"index": 1, "id": "d", "function": {"name": "g", "arguments": "{"}},),
        ({"index": 0, "id": "c", "type": "function", "function": {"name": "f"}},),
        ({"index": 1, "function": {"arguments": "}"}},),
    )
    assert merge_tool_calls(parts) == (
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"id": "d", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    )


def test_whole_tool_calls_stay_as_they_are() -> None:
    calls = ({"id": "c"},)
    assert merge_tool_calls(calls) is calls
    assert merge_tool_calls(None) is None


def test_error_reads_as_type_and_text() -> None:
    assert str(ErrorData(error_type="http", error_message="no")) == "http: no"
    assert str(ErrorData(error_type="timeout")) == "timeout"
