"""A service of real processes with the model that ships, asked as users ask."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from tests.server.hosting import events_in
from tests.server.live import Service, serving

ROOT = Path(__file__).parents[2]
COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as service:
        yield service


@pytest.fixture(scope="module")
def user(service: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{service.url}/v1", api_key="unused", max_retries=0
    ) as user:
        yield user


def test_curl_gets_a_completion(service: Service) -> None:
    body = f'{{"model": "{service.model}", "prompt": "The sea", "max_tokens": 8}}'
    found = subprocess.run(
        ["curl", "-sS", f"{service.url}{COMPLETIONS}", "-d", body],
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert b'"object":"text_completion"' in found.stdout
    assert b'"completion_tokens":8' in found.stdout


def test_curl_gets_a_stream(service: Service) -> None:
    body = (
        f'{{"model": "{service.model}", "prompt": "The sea", "max_tokens": 8,'
        ' "stream": true, "stream_options": {"include_usage": true}}'
    )
    found = subprocess.run(
        ["curl", "-sSN", f"{service.url}{COMPLETIONS}", "-d", body],
        capture_output=True,
        check=True,
        timeout=30,
    )
    *chunks, last, end = events_in(found.stdout)
    assert end == "[DONE]"
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert last["usage"]["completion_tokens"] == 8


def test_openai_client_lists_the_model(user: openai.OpenAI, service: Service) -> None:
    (model,) = user.models.list().data
    assert model.id == service.model
    assert user.models.retrieve(model.id).id == model.id


def test_openai_client_completes(user: openai.OpenAI, service: Service) -> None:
    asked = {"model": service.model, "prompt": "Once upon", "max_tokens": 12, "seed": 1}
    whole = user.completions.create(**asked)
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 12
    stream = user.completions.create(**asked, stream=True)
    assert "".join(part.choices[0].text for part in stream) == whole.choices[0].text


def test_openai_client_chats(user: openai.OpenAI, service: Service) -> None:
    asked = {
        "model": service.model,
        "messages": [{"role": "user", "content": "Tell me of the sea."}],
        "max_completion_tokens": 12,
        "temperature": 0,
    }
    whole = user.chat.completions.create(**asked)
    message = whole.choices[0].message
    assert message.role == "assistant"
    assert message.content
    parts = list(user.chat.completions.create(**asked, stream=True))
    assert parts[0].choices[0].delta.role == "assistant"
    text = "".join(part.choices[0].delta.content or "" for part in parts)
    assert text == message.content
    assert parts[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_greedy_text_is_the_same_in_any_batch(
    user: openai.OpenAI, service: Service
) -> None:
    asked = {"model": service.model, "max_tokens": 8, "temperature": 0}
    alone = user.completions.create(**asked, prompt="The king").choices[0].text
    prompts = ["The king", "A ship", "In the house", "The king"]
    batch = user.completions.create(**asked, prompt=prompts)
    assert batch.choices[0].text == batch.choices[3].text == alone


def test_echo_and_token_prompts_work(user: openai.OpenAI, service: Service) -> None:
    asked = {"model": service.model, "max_tokens": 2}
    echoed = user.completions.create(**asked, prompt="The sea", echo=True)
    assert echoed.choices[0].text.startswith("The sea")
    counted = user.completions.create(**asked, prompt=[5, 6, 7])
    assert counted.usage is not None
    assert counted.usage.prompt_tokens == 3


def test_a_stop_text_ends_the_completion(user: openai.OpenAI, service: Service) -> None:
    asked = {"model": service.model, "prompt": "The sea", "temperature": 0}
    text = user.completions.create(**asked, max_tokens=24).choices[0].text
    stop = text[len(text) // 2 :][:3]
    found = user.completions.create(**asked, max_tokens=24, stop=stop).choices[0]
    assert found.finish_reason == "stop"
    assert found.text == text[: text.index(stop)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_longer_than_the_context_is_refused(
    user: openai.OpenAI, service: Service, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        user.completions.create(
            model=service.model, prompt="sea " * 5000, stream=stream
        )
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize("text", ["sea " * 5000, " "])
def test_messages_that_cannot_be_a_prompt_are_named(
    user: openai.OpenAI, service: Service, text: str
) -> None:
    messages = [{"role": "user", "content": text}]
    with pytest.raises(openai.BadRequestError) as caught:
        user.chat.completions.create(model=service.model, messages=messages)
    assert caught.value.param == "messages"


def test_an_unknown_model_is_not_found(user: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        user.completions.create(model="gpt-9", prompt="x")
    assert caught.value.code == "model_not_found"


def test_an_unknown_token_id_is_refused(user: openai.OpenAI, service: Service) -> None:
    with pytest.raises(openai.BadRequestError):
        user.completions.create(model=service.model, prompt=[10**6])


def test_all_is_well_afterwards(service: Service) -> None:
    health = service.until(lambda health: health["num_running"] == 0)
    assert health["status"] == "ok"
    assert [process["num_restarts"] for process in health["processes"]] == [0, 0]


def test_the_example_runs(service: Service) -> None:
    found = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "openai_client.py"), service.url],
        capture_output=True,
        check=True,
        timeout=60,
        text=True,
    )
    assert service.model in found.stdout
    assert len(found.stdout.splitlines()) >= 3


def test_the_curl_example_runs(service: Service) -> None:
    found = subprocess.run(
        ["sh", str(ROOT / "examples" / "curl.sh"), service.url],
        capture_output=True,
        check=True,
        timeout=60,
        text=True,
    )
    assert '"status":"ok"' in found.stdout
    assert '"finish_reason":"length"' in found.stdout
    assert found.stdout.rstrip().endswith("data: [DONE]")
