"""``POST /v1/completions`` as any HTTP client sees it."""

import pytest
from tests.server.hosting import Client
from tests.server.stand_in import StandInEngine

from busduct.pipeline import SamplingParams

PATH = "/v1/completions"


def ask(**fields: object) -> dict[str, object]:
    return {"model": "stand-in", "prompt": "Once", "max_tokens": 3, **fields}


def test_completion_has_openai_shape(client: Client) -> None:
    reply = client.post(PATH, ask())
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    found = reply.json
    assert found["id"].startswith("cmpl-")
    assert isinstance(found["created"], int)
    del found["id"], found["created"]
    assert found == {
        "object": "text_completion",
        "model": "stand-in",
        "choices": [
            {
                "index": 0,
                "text": " w0 w1 w2",
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6},
    }


def test_reply_carries_a_date(client: Client) -> None:
    assert client.post(PATH, ask()).headers["date"].endswith("GMT")


def test_stream_has_one_event_per_piece_and_an_end(client: Client) -> None:
    reply = client.post(PATH, ask(stream=True))
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, end = reply.events
    assert end == "[DONE]"
    assert [chunk["choices"][0]["text"] for chunk in chunks] == [" w0", " w1", " w2"]
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None, None, "length"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all("usage" not in chunk for chunk in chunks)


def test_stream_ends_with_usage_if_asked(client: Client) -> None:
    options = {"include_usage": True}
    reply = client.post(PATH, ask(stream=True, stream_options=options))
    *chunks, last, end = reply.events
    assert end == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["total_tokens"] == 6


@pytest.mark.parametrize("stream", [False, True])
def test_each_prompt_of_a_list_has_its_own_choice(client: Client, stream: bool) -> None:
    reply = client.post(PATH, ask(prompt=["a", "b", "c"], stream=stream))
    texts = {0: "", 1: "", 2: ""}
    for part in reply.events[:-1] if stream else [reply.json]:
        for choice in part["choices"]:
            texts[choice["index"]] += choice["text"]
    assert set(texts.values()) == {" w0 w1 w2"}


def test_usage_counts_all_prompts(client: Client) -> None:
    usage = client.post(PATH, ask(prompt=["a", "b"])).json["usage"]
    assert usage == {"prompt_tokens": 6, "completion_tokens": 6, "total_tokens": 12}


@pytest.mark.parametrize(
    ("prompt", "handed"),
    [
        ("text", ["text"]),
        (["a", "b"], ["a", "b"]),
        ([5, 6], [[5, 6]]),
        ([[5, 6], [7]], [[5, 6], [7]]),
    ],
)
def test_prompt_may_be_text_or_tokens_or_lists_of_them(
    client: Client, engine: StandInEngine, prompt: object, handed: object
) -> None:
    assert client.post(PATH, ask(prompt=prompt)).status == 200
    assert sorted(map(str, (asked for asked, _ in engine.asked))) == sorted(
        map(str, handed)  # type: ignore[call-overload]
    )


def test_sampling_options_reach_the_engine(
    client: Client, engine: StandInEngine
) -> None:
    options = {"temperature": 0, "top_p": 0.5, "seed": 7, "top_k": 4}
    client.post(PATH, ask(**options, stop=["x", "y"], ignore_eos=True))
    assert engine.asked[0][1] == SamplingParams(
        max_tokens=3,
        temperature=0.0,
        top_p=0.5,
        top_k=4,
        seed=7,
        stop=("x", "y"),
        ignore_eos=True,
    )


def test_stop_may_be_one_text(client: Client, engine: StandInEngine) -> None:
    client.post(PATH, ask(stop="x"))
    assert engine.asked[0][1].stop == ("x",)


def test_max_tokens_defaults_to_16(client: Client, engine: StandInEngine) -> None:
    client.post(PATH, {"model": "stand-in", "prompt": "Once"})
    assert engine.asked[0][1].max_tokens == 16


def test_null_fields_count_as_absent(client: Client, engine: StandInEngine) -> None:
    names = [
        "temperature",
        "top_p",
        "seed",
        "stop",
        "n",
        "stream",
        "stream_options",
        "echo",
        "logprobs",
    ]
    assert client.post(PATH, ask(**dict.fromkeys(names))).status == 200
    assert engine.asked[0][1] == SamplingParams(max_tokens=3)


def test_fields_that_ask_for_nothing_are_accepted(client: Client) -> None:
    harmless = {
        "user": "me",
        "n": 1,
        "best_of": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "logit_bias": {},
        "metadata": {"a": "b"},
        "service_tier": "auto",
    }
    assert client.post(PATH, ask(**harmless)).status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_echo_puts_the_prompt_in_front(client: Client, stream: bool) -> None:
    reply = client.post(PATH, ask(echo=True, stream=stream))
    parts = reply.events[:-1] if stream else [reply.json]
    assert "".join(part["choices"][0]["text"] for part in parts) == "Once w0 w1 w2"
