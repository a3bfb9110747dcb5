"""Adapters: answers and events as endpoints really send them."""

from typing import Any

import msgspec
import pytest

from busduct.endpoint import (
    HttpRequestAdapter,
    OpenAIChatAdapter,
    OpenAICompletionsAdapter,
    SGLangGenerateAdapter,
)
from busduct.errors import RemoteProtocolError
from busduct.messages import QueryResult, TextModelOutput

ADAPTERS = [OpenAIChatAdapter, OpenAICompletionsAdapter, SGLangGenerateAdapter]
ANY_ADAPTER = pytest.mark.parametrize("adapter", ADAPTERS)
OPENAI_ADAPTER = pytest.mark.parametrize("adapter", ADAPTERS[:2])

Adapter = type[HttpRequestAdapter]


def answered(adapter: Adapter, body: Any) -> QueryResult:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    result = adapter.decode_response(raw, "q1")
    assert result.id == "q1"
    return result


@ANY_ADAPTER
def test_adapter_satisfies_the_protocol(adapter: Adapter) -> None:
    assert isinstance(adapter, HttpRequestAdapter)


def test_chat_answer_of_vllm() -> None:
    body = b"""{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m",
    "choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null,
    "annotations":null,"audio":null,"function_call":null,"tool_calls":[],
    "reasoning":"hm","reasoning_content":"hm"},"logprobs":null,"finish_reason":"stop",
    "stop_reason":null,"token_ids":null}],"service_tier":null,"system_fingerprint":null,
    "usage":{"prompt_tokens":4,"total_tokens":6,"completion_tokens":2,
    "prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":1}},
    "prompt_logprobs":null,"kv_transfer_params":null}"""
    result = answered(OpenAIChatAdapter, body)
    assert result.response_output == TextModelOutput(output="hi", reasoning="hm")
    assert result.metadata == {
        "finish_reason": "stop",
        "usage": {
            "prompt_tokens": 4,
            "total_tokens": 6,
            "completion_tokens": 2,
            "prompt_tokens_details": None,
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    }
    assert result.error is None


def test_chat_answer_with_tool_calls() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    result = answered(OpenAIChatAdapter, body)
    assert result.response_output == TextModelOutput(tool_calls=(call,))
    assert result.metadata == {"finish_reason": "tool_calls", "tool_calls": [call]}


def test_completions_answer() -> None:
    choice = {"index": 0, "text": "hi", "logprobs": None, "finish_reason": "length"}
    result = answered(OpenAICompletionsAdapter, {"choices": [choice], "usage": None})
    assert result.response_output == TextModelOutput(output="hi")
    assert result.metadata == {"finish_reason": "length"}


def test_sglang_answer() -> None:
    about = {
        "id": "a",
        "finish_reason": {"type": "stop", "matched": 128009},
        "prompt_tokens": 3,
        "weight_version": "default",
        "completion_tokens": 2,
        "cached_tokens": 1,
        "e2e_latency": 0.1,
    }
    body = {"text": "hi", "output_ids": [5, 6], "meta_info": about}
    result = answered(SGLangGenerateAdapter, body)
    assert result.response_output == TextModelOutput(output="hi")
    assert result.metadata == {
        "token_ids": [5, 6],
        "n_tokens": 2,
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "cached_tokens": 1},
    }


@pytest.mark.parametrize("body", [{"text": "hi"}, {"text": "hi", "meta_info": None}])
def test_sglang_answer_that_tells_little(body: dict[str, Any]) -> None:
    result = answered(SGLangGenerateAdapter, body)
    assert result.response_output == TextModelOutput(output="hi")
    assert result.metadata == {"token_ids": [], "n_tokens": 0}


@OPENAI_ADAPTER
@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}])
def test_openai_answer_without_choices_is_malformed(
    adapter: Adapter, body: Any
) -> None:
    with pytest.raises(RemoteProtocolError, match="no choices"):
        answered(adapter, body)


def test_sglang_answer_without_any_output_is_malformed() -> None:
    with pytest.raises(RemoteProtocolError, match="neither text nor output_ids"):
        answered(SGLangGenerateAdapter, {"meta_info": {}})


ERRORS = {
    "openai": ({"error": {"message": "m", "type": "t", "code": 429}}, "t: m", 429),
    "code is a name": ({"error": {"message": "m", "code": "c"}}, "m", None),
    "code is no status": ({"error": {"message": "m", "code": 7}}, "m", None),
    "text": ({"error": "too long", "error_type": "validation"}, "too long", None),
    "other object": ({"error": {"why": "é"}}, '{"why":"é"}', None),
    "long": ({"error": "x" * 5000}, "x" * 1000, None),
}


@ANY_ADAPTER
@pytest.mark.parametrize(("body", "text", "status"), ERRORS.values(), ids=ERRORS.keys())
def test_error_object_becomes_the_error_of_the_result(
    adapter: Adapter, body: Any, text: str, status: int | None
) -> None:
    result = answered(adapter, body)
    assert result.error is not None
    assert result.error.error_type == "endpoint"
    assert result.error.error_message == text
    assert result.error.status == status
    assert result.response_output is None


@OPENAI_ADAPTER
def test_error_of_older_servers_is_found(adapter: Adapter) -> None:
    body = {"object": "error", "message": "m", "type": "BadRequestError", "code": 400}
    result = answered(adapter, body)
    assert str(result.error) == "endpoint: BadRequestError: m"
    assert result.error is not None
    assert result.error.status == 400


@pytest.mark.parametrize(
    ("reason", "text", "status"),
    [
        ({"type": "abort", "message": "gone", "status_code": 503}, "abort: gone", 503),
        ({"type": "abort", "message": None}, "abort", None),
        ("abort", "abort", None),
    ],
)
def test_aborted_answer_of_sglang_is_an_error(
    reason: Any, text: str, status: int | None
) -> None:
    body = {"text": "a", "output_ids": [1], "meta_info": {"finish_reason": reason}}
    result = answered(SGLangGenerateAdapter, body)
    assert result.error is not None
    assert (result.error.error_message, result.error.status) == (text, status)


@ANY_ADAPTER
def test_null_is_no_error(adapter: Adapter) -> None:
    body = {"error": None, "choices": [{"text": "a"}], "text": "a"}
    assert answered(adapter, body).error is None


MALFORMED = {
    "empty": b"",
    "not JSON": b"<html>",
    "half": b'{"choices":[{"del',
    "array": b"[]",
    "text": b'"x"',
    "not UTF-8": b'{"choices":[{"text":"\xff"}],"text":"\xff"}',
    "wrong type": b'{"choices":7,"text":7}',
    "trailing bytes": b'{"choices":[]} {}',
    "deep": b'{"x":' + b"[" * 100_000,
    "deep error": b'{"error":' + b"[" * 100_000,
    "number past 64 bits": b'{"usage":{"a":99999999999999999999},'
    b'"meta_info":{"completion_tokens":99999999999999999999}}',
    "deep usage": b'{"usage":{"a":{"b":{"c":{}}}},"meta_info":{"finish_reason":[[]]}}',
}


@ANY_ADAPTER
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_data_is_an_error_of_the_peer(adapter: Adapter, data: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="response is malformed"):
        adapter.decode_response(data, "q1")
    with pytest.raises(RemoteProtocolError, match="event is malformed"):
        adapter.decode_event(data)


@ANY_ADAPTER
def test_done_is_told_and_adds_nothing(adapter: Adapter) -> None:
    assert adapter.is_done(b"[DONE]")
    assert not adapter.is_done(b'{"choices":[]}')
    assert adapter.decode_event(b"[DONE]") is None


@ANY_ADAPTER
def test_event_is_decoded_under_the_older_name_too(adapter: Any) -> None:
    data = b'{"choices":[{"text":"a"}],"text":"a"}'
    assert adapter.decode_sse_message(data) == adapter.decode_event(data)
