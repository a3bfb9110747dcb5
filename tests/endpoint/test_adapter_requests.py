"""Adapters: requests as endpoints take them."""

from typing import Any

import msgspec
import pytest

from busduct.endpoint import (
    HttpRequestAdapter,
    OpenAIChatAdapter,
    OpenAICompletionsAdapter,
    SGLangGenerateAdapter,
)
from busduct.errors import RequestError
from busduct.messages import Query

ADAPTERS = [OpenAIChatAdapter, OpenAICompletionsAdapter, SGLangGenerateAdapter]
ANY_ADAPTER = pytest.mark.parametrize("adapter", ADAPTERS)
OPENAI_ADAPTER = pytest.mark.parametrize("adapter", ADAPTERS[:2])

Adapter = type[HttpRequestAdapter]


def request_of(adapter: Adapter, **data: Any) -> Any:
    return msgspec.json.decode(adapter.encode_query(Query(data=data)))


def test_chat_request_of_a_prompt() -> None:
    assert request_of(OpenAIChatAdapter, prompt="hello", model="m", stream=True) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "stream": True,
    }


def test_chat_request_of_a_prompt_with_system_and_name() -> None:
    data = {"prompt": [{"type": "text", "text": "a"}], "system": "b", "name": "c"}
    assert request_of(OpenAIChatAdapter, **data)["messages"] == [
        {"role": "system", "content": "b"},
        {"role": "user", "content": [{"type": "text", "text": "a"}], "name": "c"},
    ]


def test_chat_request_of_messages_leaves_the_prompt_out() -> None:
    messages = [{"role": "tool", "content": None, "tool_call_id": "1"}]
    data = {"messages": messages, "prompt": "x", "system": "y", "name": "z"}
    assert request_of(OpenAIChatAdapter, **data) == {
        "model": "no-model-name",
        "messages": messages,
    }


def test_completions_request_of_tokens_or_a_text() -> None:
    tokens = request_of(OpenAICompletionsAdapter, input_tokens=[1, 2], prompt="x")
    assert tokens == {"model": "no-model-name", "prompt": [1, 2]}
    assert request_of(OpenAICompletionsAdapter, input_ids=[3])["prompt"] == [3]
    assert request_of(OpenAICompletionsAdapter, prompt="x")["prompt"] == "x"
    assert request_of(OpenAICompletionsAdapter, text="x")["prompt"] == "x"


@OPENAI_ADAPTER
def test_openai_request_keeps_every_field_but_the_private_and_the_empty(
    adapter: Adapter,
) -> None:
    fields = {
        "max_completion_tokens": 5,
        "temperature": 0.0,
        "stream": False,
        "stream_options": {"include_usage": True},
        "response_format": {"type": "json_object"},
        "a_field_of_tomorrow": [1],
    }
    left_out = {"seed": None, "_row": 7, "input_ids": None}
    sent = request_of(adapter, prompt="x", model=None, **fields, **left_out)
    assert sent.keys() == {"model", *fields} | (
        {"messages"} if adapter is OpenAIChatAdapter else {"prompt"}
    )
    assert {key: sent[key] for key in fields} == fields


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ({"input_tokens": [1]}, {"input_ids": [1]}),
        ({"input_ids": [1], "text": "x"}, {"input_ids": [1]}),
        ({"text": "x"}, {"text": "x"}),
        ({"prompt": "x"}, {"text": "x"}),
    ],
)
def test_sglang_request_of_each_prompt(
    prompt: dict[str, Any], expected: dict[str, Any]
) -> None:
    data = {**prompt, "model": "m", "_row": 1, "system": "s", "stream": None}
    expected = {**expected, "sampling_params": {}}
    assert request_of(SGLangGenerateAdapter, **data) == expected


@pytest.mark.parametrize("key", ["sampling_params", "sampling_parameters"])
def test_sglang_request_gathers_sampling_parameters(key: str) -> None:
    data = {
        "prompt": "x",
        "stream": True,
        "return_logprob": True,
        "temperature": 0.5,
        "max_completion_tokens": 9,
        "seed": 3,
        "top_k": None,
        key: {"temperature": 0.7, "stop": ["a"]},
    }
    assert request_of(SGLangGenerateAdapter, **data) == {
        "text": "x",
        "stream": True,
        "return_logprob": True,
        "sampling_params": {
            "temperature": 0.7,
            "max_new_tokens": 9,
            "sampling_seed": 3,
            "stop": ["a"],
        },
    }


def test_sglang_request_prefers_its_own_names() -> None:
    for data in (
        {"max_tokens": 1, "max_new_tokens": 2},
        {"max_new_tokens": 2, "max_tokens": 1},
    ):
        sent = request_of(SGLangGenerateAdapter, prompt="x", **data)
        assert sent["sampling_params"] == {"max_new_tokens": 2}


@ANY_ADAPTER
def test_query_without_a_prompt_is_refused(adapter: Adapter) -> None:
    with pytest.raises(RequestError, match="query has no") as caught:
        request_of(adapter, model="m", prompt=None)
    assert caught.value.code == "missing_prompt"


@ANY_ADAPTER
@pytest.mark.parametrize("value", [object(), "\ud800", {(1, 2): 3}])
def test_value_that_json_cannot_hold_is_refused(adapter: Adapter, value: Any) -> None:
    with pytest.raises(RequestError, match="cannot be encoded as JSON") as caught:
        request_of(adapter, prompt="x", user=value)
    assert caught.value.code == "not_json"


def test_sampling_parameters_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(RequestError, match="sampling_params is a list") as caught:
        request_of(SGLangGenerateAdapter, prompt="x", sampling_params=[1])
    assert caught.value.param == "sampling_params"
