"""The accumulator of OpenAI's streams: text, reasoning, calls of tools, usage."""

from typing import Any

import pytest
from tests.endpoint.accumulating import call, chat, delta, run, texts

from busduct.endpoint import OpenAICompletionsAdapter, OpenAISSEAccumulator
from busduct.messages import TextModelOutput

BOTH_MODES = pytest.mark.parametrize("stream_all_chunks", [True, False])


@BOTH_MODES
def test_chat_stream_of_vllm(stream_all_chunks: bool) -> None:
    usage = {"prompt_tokens": 3, "total_tokens": 6, "completion_tokens": 3}
    chunks, result = chat(
        delta(role="assistant", content="", reasoning_content=None),
        delta(content="a"),
        delta(content="b"),
        delta(content="c", tool_calls=[]),
        delta("stop", content="", tool_calls=None),
        {"choices": [], "usage": usage},
        stream_all_chunks=stream_all_chunks,
    )
    assert texts(chunks) == (["a", "b", "c"] if stream_all_chunks else ["a"])
    is_first = [chunk.metadata["first_chunk"] for chunk in chunks]
    assert is_first == [True, False, False][: len(chunks)]
    assert result.response_output == TextModelOutput(output=("a", "bc"))
    assert result.metadata == {
        "first_chunk": False,
        "final_chunk": True,
        "finish_reason": "stop",
        "usage": usage,
    }


def test_single_chunk_is_the_whole_output() -> None:
    _, result = chat(delta(content="a"))
    assert result.response_output == TextModelOutput(output=("a",))


def test_usage_of_every_event_is_that_of_the_last() -> None:
    events = [delta(content="a") | {"usage": {"completion_tokens": n}} for n in (1, 2)]
    _, result = chat(*events, delta(content="b") | {"usage": None})
    assert result.metadata["usage"] == {"completion_tokens": 2}


@BOTH_MODES
@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_apart(stream_all_chunks: bool, name: str) -> None:
    chunks, result = chat(
        delta(**{name: "x"}),
        delta(**{name: "y"}),
        delta(**{name: "z"}, content="a"),
        delta(content="b"),
        stream_all_chunks=stream_all_chunks,
    )
    assert texts(chunks) == (["x", "y", "za", "b"] if stream_all_chunks else ["x"])
    assert result.response_output == TextModelOutput(output="ab", reasoning=("x", "yz"))


def test_reasoning_under_both_names_is_taken_once() -> None:
    chunks, result = chat(delta(reasoning="x", reasoning_content="x"))
    assert texts(chunks) == ["x"]
    assert result.response_output == TextModelOutput(reasoning=("x",))


TOOL_CALL_EVENTS = [
    delta(role="assistant", content=None),
    call(index=0, id="1", type="function", function={"name": "f", "arguments": ""}),
    call(index=0, id=None, type=None, function={"name": None, "arguments": '{"a":'}),
    call(index=1, id="2", type="function", function={"name": "g", "arguments": "{}"}),
    call(index=0, function={"arguments": "1}"}),
    call(index=1, function=None),
    delta("tool_calls"),
]


@BOTH_MODES
def test_pure_tool_calls_begin_with_one_empty_chunk(stream_all_chunks: bool) -> None:
    chunks, result = chat(*TOOL_CALL_EVENTS, stream_all_chunks=stream_all_chunks)
    assert texts(chunks) == [""]
    assert chunks[0].metadata == {"first_chunk": True}
    assert result.metadata["first_chunk"] is False
    assert result.metadata["finish_reason"] == "tool_calls"


def test_tool_calls_are_kept_in_parts_and_merged() -> None:
    _, result = chat(*TOOL_CALL_EVENTS)
    output = result.response_output
    assert output is not None
    assert output.tool_calls is not None
    assert len(output.tool_calls) == 5
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": None}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    calls[0]["function"]["arguments"] = '{"a":1}'  # type: ignore[index]
    assert result.metadata["tool_calls"] == calls


@BOTH_MODES
def test_tool_calls_after_text_make_no_chunk(stream_all_chunks: bool) -> None:
    chunks, result = chat(
        delta(content="a"), *TOOL_CALL_EVENTS, stream_all_chunks=stream_all_chunks
    )
    assert texts(chunks) == ["a"]
    assert len(result.metadata["tool_calls"]) == 2


@BOTH_MODES
def test_text_after_tool_calls_is_no_first_chunk(stream_all_chunks: bool) -> None:
    chunks, result = chat(
        *TOOL_CALL_EVENTS, delta(content="a"), stream_all_chunks=stream_all_chunks
    )
    assert texts(chunks) == (["", "a"] if stream_all_chunks else [""])
    assert result.response_output is not None
    assert result.response_output.output == ("a",)


def test_parts_of_tool_calls_without_an_index_are_merged() -> None:
    _, result = chat(
        call(index=None, id="1", function={"name": "f"}),
        call(function={"arguments": "{}"}),
    )
    expected = {"name": "f", "arguments": "{}"}
    assert [made["function"] for made in result.metadata["tool_calls"]] == [expected]


def test_answers_after_the_first_are_not_mixed_in() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "X"}}]}
    chunks, _ = chat(delta(content="a"), other, delta(content="b"))
    assert texts(chunks) == ["a", "b"]


def test_completions_stream() -> None:
    events = [
        {"choices": [{"index": 0, "text": "a", "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "", "finish_reason": None}]},
        {"choices": [{"index": 0, "text": "b", "finish_reason": "length"}]},
        {"choices": [], "usage": {"completion_tokens": 2}},
    ]
    accumulator = OpenAISSEAccumulator("q1", True)
    chunks, result = run(OpenAICompletionsAdapter, accumulator, events)
    assert texts(chunks) == ["a", "b"]
    assert result.response_output == TextModelOutput(output=("a", "b"))
    assert result.metadata["finish_reason"] == "length"
    assert result.metadata["usage"] == {"completion_tokens": 2}


@pytest.mark.parametrize(
    "report",
    [
        {"error": {"message": "m", "type": "t", "code": 500}},
        {"object": "error", "message": "m", "type": "t", "code": 500},
        delta(content="") | {"error": {"message": "m", "type": "t", "code": 500}},
    ],
)
def test_error_in_a_chat_stream_ends_the_query_with_it(report: Any) -> None:
    _, result = chat(delta(content="a"), report)
    assert result.error is not None
    assert (str(result.error), result.error.status) == ("endpoint: t: m", 500)
    assert result.response_output == TextModelOutput(output=("a",))
