"""The accumulator of SGLang's streams: text that grows, and that is taken back."""

import pytest
from tests.endpoint.accumulating import grown, sglang, texts

from busduct.endpoint import SGLangSSEAccumulator
from busduct.endpoint.adapters import SGLangEvent
from busduct.endpoint.adapters._sglang import MetaInfo
from busduct.messages import StreamChunk, TextModelOutput

BOTH_MODES = pytest.mark.parametrize("stream_all_chunks", [True, False])


@BOTH_MODES
def test_sglang_stream_of_growing_text(stream_all_chunks: bool) -> None:
    chunks, result = sglang(
        grown("", [1], 1),
        grown("a", [2], 2),
        grown("abc", [3, 4], 4),
        grown("abc", [], 4),
        grown("abcd", [5], 5, finish_reason={"type": "stop"}, prompt_tokens=7),
        stream_all_chunks=stream_all_chunks,
    )
    assert texts(chunks) == (["a", "bc", "d"] if stream_all_chunks else ["a"])
    assert chunks[0].metadata == {
        "first_chunk": True,
        "final_chunk": False,
        "retraction_occurred": False,
        "n_tokens": 1,
    }
    num_tokens = [chunk.metadata["n_tokens"] for chunk in chunks]
    assert num_tokens == [1, 2, 1][: len(chunks)]
    assert result.response_output == TextModelOutput(output="abcd")
    assert result.metadata == {
        "first_chunk": False,
        "final_chunk": True,
        "retraction_occurred": False,
        "n_tokens": 5,
        "token_ids": [1, 2, 3, 4, 5],
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 7, "completion_tokens": 5},
    }


def test_sglang_text_that_comes_with_no_further_token_is_kept() -> None:
    chunks, result = sglang(grown("a", [1], 1), grown("ab", [], 1))
    assert texts(chunks) == ["a", "b"]
    assert result.response_output == TextModelOutput(output="ab")


def test_sglang_tokens_that_are_all_told_each_time_are_counted_once() -> None:
    chunks, result = sglang(
        grown("a", [1], 1), grown("abc", [1, 2, 3], 3), grown("abcd", [1, 2, 3, 4], 4)
    )
    assert [chunk.metadata["n_tokens"] for chunk in chunks] == [1, 2, 1]
    assert result.metadata["token_ids"] == [1, 2, 3, 4]


def test_sglang_events_stay_as_they_were() -> None:
    events = [
        SGLangEvent(output_ids=[1], meta_info=MetaInfo(completion_tokens=total))
        for total in (1, 2)
    ]
    accumulator = SGLangSSEAccumulator("q1", True)
    for event in events:
        accumulator.add_chunk(event)
    assert [event.output_ids for event in events] == [[1], [1]]


def test_sglang_stream_that_tells_little() -> None:
    _, result = sglang({"text": "a"}, {"text": "ab", "meta_info": None})
    assert result.response_output == TextModelOutput(output="ab")
    assert result.metadata["n_tokens"] == 0
    assert "usage" not in result.metadata


def replay(chunks: list[StreamChunk]) -> str:
    """Do what the documentation of `retracted` says."""
    text = ""
    for chunk in chunks:
        text = text[: len(text) - chunk.metadata.get("retracted", 0)]
        text += chunk.response_chunk
    return text


@pytest.mark.parametrize(
    ("told", "retracted", "added"),
    [
        (["abcdef", "abc"], 3, ""),
        (["abcdef", "abcxy"], 3, "xy"),
        (["abcdef", "abcxyzuvw"], 3, "xyzuvw"),
        (["abc", "xyz"], 3, "xyz"),
        (["abc", ""], 3, ""),
        (["abc\N{GRINNING FACE}d", "abcd"], 2, "d"),
    ],
)
def test_sglang_retraction_is_told(told: list[str], retracted: int, added: str) -> None:
    events = [grown(text, [1], None) for text in told]
    chunks, result = sglang(*events, grown(told[-1] + "!", [1], None))
    assert chunks[1].response_chunk == added
    assert chunks[1].metadata["retracted"] == retracted
    assert chunks[1].metadata["retraction_occurred"] is True
    assert "retracted" not in chunks[0].metadata
    assert "retracted" not in chunks[2].metadata
    assert replay(chunks) == told[-1] + "!" == str(result.response_output)
    assert result.metadata["retraction_occurred"] is True


def test_sglang_retraction_is_told_in_the_result_when_only_the_first_chunk_is() -> None:
    chunks, result = sglang(
        grown("abc", [1], 1), grown("ab", [1], 1), stream_all_chunks=False
    )
    assert texts(chunks) == ["abc"]
    assert result.metadata["retraction_occurred"] is True
    assert result.response_output == TextModelOutput(output="ab")


def test_sglang_retraction_that_the_endpoint_counts_is_told() -> None:
    chunks, result = sglang(
        grown("a", [1], 1), grown("ab", [2], 2, total_retractions=1)
    )
    told = [chunk.metadata["retraction_occurred"] for chunk in chunks]
    assert told == [False, True]
    assert result.metadata["retraction_occurred"] is True


def test_sglang_stream_that_the_endpoint_gives_up_is_an_error() -> None:
    reason = {"type": "abort", "message": "no memory", "status_code": 503}
    _, result = sglang(grown("a", [1], 1), grown("a", [], 1, finish_reason=reason))
    assert result.error is not None
    assert str(result.error) == "endpoint: abort: no memory"
    assert result.error.status == 503
    assert result.response_output == TextModelOutput(output="a")
