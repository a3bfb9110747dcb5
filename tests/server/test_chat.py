"""``POST /v1/chat/completions`` as any HTTP client sees it."""

from tests.server.hosting import Client
from tests.server.stand_in import StandInEngine

from busduct.pipeline.embedded import render_chat

PATH = "/v1/chat/completions"


def ask(**fields: object) -> dict[str, object]:
    messages = [{"role": "user", "content": "Hello"}]
    return {"model": "stand-in", "messages": messages, "max_tokens": 2, **fields}


def test_chat_has_openai_shape(client: Client) -> None:
    reply = client.post(PATH, ask())
    assert reply.status == 200
    found = reply.json
    assert found["id"].startswith("chatcmpl-")
    assert found["object"] == "chat.completion"
    assert found["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": " w0 w1", "refusal": None},
            "logprobs": None,
            "finish_reason": "length",
        }
    ]
    assert found["usage"]["total_tokens"] == 5


def test_chat_stream_gives_the_role_first_and_once(client: Client) -> None:
    *chunks, end = client.post(PATH, ask(stream=True)).events
    assert end == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": " w0"},
        {"content": " w1"},
    ]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None, None, "length"]


def test_chat_stream_ends_with_usage_if_asked(client: Client) -> None:
    options = {"include_usage": True}
    *chunks, last, end = client.post(
        PATH, ask(stream=True, stream_options=options)
    ).events
    assert end == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 2


def test_messages_reach_the_engine_as_the_template_renders_them(
    client: Client, engine: StandInEngine
) -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    messages = [
        {"role": "developer", "content": "Be brief"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Bye"},
    ]
    client.post(PATH, ask(messages=messages))
    turns = [
        ("system", "Be brief"),
        ("user", "Hello"),
        ("assistant", "Hi"),
        ("user", "Bye"),
    ]
    assert engine.asked[0][0] == render_chat(turns)


def test_max_completion_tokens_goes_before_max_tokens(
    client: Client, engine: StandInEngine
) -> None:
    client.post(PATH, ask(max_completion_tokens=1))
    assert engine.asked[0][1].max_tokens == 1


def test_max_tokens_defaults_to_the_context(
    client: Client, engine: StandInEngine
) -> None:
    client.post(PATH, ask(max_tokens=None))
    assert engine.asked[0][1].max_tokens == engine.context_length


def test_fields_that_ask_for_nothing_are_accepted(client: Client) -> None:
    harmless = {
        "logprobs": False,
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "parallel_tool_calls": True,
        "store": False,
    }
    assert client.post(PATH, ask(**harmless)).status == 200
