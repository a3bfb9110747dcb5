"""What is sent: lines of a dataset, and made-up prompts."""

from pathlib import Path
from typing import Any

import pytest

from busduct.endpoint.adapters import (
    OpenAIChatAdapter,
    OpenAICompletionsAdapter,
    SGLangGenerateAdapter,
)
from busduct.endpoint.load import Lengths, LoadConfig
from busduct.endpoint.load._dataset import load_dataset, parse_dataset
from busduct.endpoint.load._prompts import PromptMaker
from busduct.endpoint.load._queries import QuerySource
from busduct.errors import ConfigError
from busduct.messages import Query

MESSAGES = [{"role": "user", "content": "hi"}]


def config(**settings: Any) -> LoadConfig:
    return LoadConfig(url="http://localhost:1", num_requests=1, **settings)


def sent(rows: list[dict[str, Any]] | None, **settings: Any) -> Query:
    return QuerySource(config(**settings), rows).query(0)


@pytest.mark.parametrize(
    ("api", "line"),
    [
        ("openai", b'{"messages": [{"role": "user", "content": "hi"}]}'),
        ("openai", b'{"prompt": "hi"}'),
        ("openai", b'{"text": "hi", "temperature": 0}'),
        ("openai_completions", b'{"prompt": [1, 2]}'),
        ("openai_completions", b'{"input_ids": [1, 2]}'),
        ("sglang", b'{"text": "hi"}'),
        ("sglang", b'{"input_tokens": [1]}'),
    ],
)
def test_line_that_can_be_asked_is_taken_as_it_is(api: Any, line: bytes) -> None:
    (row,) = parse_dataset(line + b"\r\n\n", "data", api)
    adapter = {
        "openai": OpenAIChatAdapter,
        "openai_completions": OpenAICompletionsAdapter,
        "sglang": SGLangGenerateAdapter,
    }[api]
    body = adapter.encode_query(sent([row], api=api, stream=False))
    assert b'"hi"' in body or b"[1" in body


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "data, line 2: not JSON: "),
        (b'{"prompt": "\xff"}', "data, line 2: not JSON: "),
        (b"[1]", "data, line 2: a JSON array; it must be an object"),
        (b"null", "data, line 2: a JSON null; it must be an object"),
        (b"{}", "data, line 2: nothing to ask; give one of messages, prompt, text"),
        (b'{"prompt": null}', "line 2: nothing to ask"),
        (b'{"input_ids": [1]}', "line 2: nothing to ask"),
        (b'{"prompt": 5}', "prompt is a JSON number; it must be a string or an array"),
        (b'{"prompt": []}', "prompt is a JSON array; it must be a string or an array"),
        (b'{"text": true}', "text is a JSON boolean; it must be a string"),
        (b'{"messages": {}}', "messages is a JSON object; it must be an array of obj"),
        (b'{"messages": ["hi"]}', "messages is a JSON array; it must be an array of o"),
    ],
)
def test_line_that_cannot_be_asked_is_told(line: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_dataset(b'{"prompt": "hi"}\n' + line, "data", "openai")


def test_tokens_must_be_integers() -> None:
    with pytest.raises(ConfigError, match="must be an array of integers"):
        parse_dataset(b'{"input_ids": [1.5]}', "data", "sglang")
    with pytest.raises(ConfigError, match="must be an array of integers"):
        parse_dataset(b'{"input_ids": [true]}', "data", "sglang")


def test_empty_or_missing_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    with pytest.raises(ConfigError, match=f"dataset {path}: No such file"):
        load_dataset(path, "openai")
    path.write_text("\n \n")
    with pytest.raises(ConfigError, match=f"dataset {path} has no lines"):
        load_dataset(path, "openai")
    path.write_text('{"prompt": "a"}\n\n{"prompt": "b"}')
    assert load_dataset(path, "openai") == [{"prompt": "a"}, {"prompt": "b"}]


def test_lines_are_sent_in_turn_under_new_ids() -> None:
    rows = [{"prompt": "a"}, {"prompt": "b"}]
    source = QuerySource(config(), rows)
    queries = [source.query(number) for number in range(4)]
    assert [query.data["prompt"] for query in queries] == ["a", "b", "a", "b"]
    assert len({query.id for query in queries}) == 4


def test_line_says_more_than_the_options_but_not_whether_it_streams() -> None:
    row = {"prompt": "a", "model": "own", "stream": False, "max_tokens": 5, "n": 2}
    lengths = Lengths.fixed(9)
    found = sent([row], model="other", output_lengths=lengths).data
    assert found["model"] == "own"
    assert found["stream"] is True
    assert found["n"] == 2
    assert found["max_tokens"] == 5
    assert "max_completion_tokens" not in found
    assert sent([{**row, "stream": True}], stream=False).data["stream"] is False


def test_text_of_a_chat_is_its_prompt() -> None:
    data = sent([{"text": "hi"}]).data
    assert data["prompt"] == "hi"
    assert b'"content":"hi"' in OpenAIChatAdapter.encode_query(Query(data=data))


def test_usage_is_asked_for_where_it_would_not_come() -> None:
    usage = {"include_usage": True}
    assert sent(None).data["stream_options"] == usage
    assert sent(None, api="openai_completions").data["stream_options"] == usage
    assert "stream_options" not in sent(None, stream=False).data
    assert "stream_options" not in sent(None, api="sglang").data
    row = {"prompt": "a", "stream_options": usage}
    assert "stream_options" not in sent([row], stream=False).data


@pytest.mark.parametrize(
    ("api", "field"),
    [
        ("openai", "max_completion_tokens"),
        ("openai_completions", "max_tokens"),
        ("sglang", "max_new_tokens"),
    ],
)
def test_lengths_of_answers_are_named_as_the_api_does(api: Any, field: str) -> None:
    assert sent(None, api=api, output_lengths=Lengths.fixed(9)).data[field] == 9
    assert field not in sent(None, api=api).data


def test_prompts_have_the_length_asked_for_and_differ_from_the_start() -> None:
    prompts = PromptMaker(Lengths("uniform", 5, 9), seed=1)
    found = [prompts.prompt(number) for number in range(3000)]
    assert {len(prompt.split()) for prompt in found} == {5, 6, 7, 8, 9}
    assert len({prompt.split()[0] for prompt in found}) == 3000
    again = PromptMaker(Lengths("uniform", 5, 9), seed=1)
    assert [again.prompt(number) for number in range(3000)] == found
    other = PromptMaker(Lengths("uniform", 5, 9), seed=2)
    assert other.prompt(0) != found[0]
    assert PromptMaker(Lengths.fixed(1), seed=1).prompt(7) == "7"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, "rate is 0.0; it must be finite and above 0"),
        ({"rate": float("inf")}, "rate is inf"),
        ({"duration": -1.0}, "duration is -1.0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"concurrency": 0}, "concurrency is 0; it must be at least 1"),
        ({"num_workers": 0}, "num_workers is 0"),
        ({"num_connections": 0}, "num_connections is 0"),
        ({"num_warmup": -1}, "num_warmup is -1; it must be at least 0"),
    ],
)
def test_setting_out_of_range_is_told(settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(**settings)


def test_load_must_end() -> None:
    with pytest.raises(ConfigError, match="num_requests is 0"):
        LoadConfig(url="http://localhost:1", num_requests=0)
    with pytest.raises(ConfigError, match="it would never end"):
        LoadConfig(url="http://localhost:1")


def test_key_is_not_shown() -> None:
    assert "secret" not in repr(config(api_key="secret"))


def test_places_without_a_rate_are_bounded() -> None:
    assert config().max_in_flight == 64
    assert config(rate=5.0).max_in_flight is None
    assert config(rate=5.0, concurrency=3).max_in_flight == 3
