"""What the two OpenAI interfaces share: their answers, whole and in events."""

from typing import Any, TypedDict

import msgspec

from busduct.endpoint.adapters import _json
from busduct.endpoint.adapters._json import NO_ERROR, Count, Usage
from busduct.errors import RemoteProtocolError
from busduct.messages import QueryResult, TextModelOutput

__all__ = [
    "Choice",
    "Message",
    "OpenAIEvent",
    "ToolCall",
    "decode_event",
    "decode_response",
    "request_body",
    "without_nulls",
]

# The prompt in all its forms; none is a field of a request under these names.
_PROMPTS = frozenset(
    {"prompt", "messages", "system", "name", "input_tokens", "input_ids", "text"}
)


class _Function(TypedDict, total=False):
    name: str | None
    arguments: str | None


class _Custom(TypedDict, total=False):
    name: str | None
    input: str | None


class ToolCall(TypedDict, total=False):
    """A call of a tool or, in an event, a part of one."""

    index: Count | None
    id: str | None
    type: str | None
    function: _Function | None
    custom: _Custom | None


class Message(msgspec.Struct, frozen=True, gc=False):
    """What an answer says or, in an event, what is added to it.

    Attributes:
        content: Of the answer.
        reasoning_content: What the model thought, as SGLang and DeepSeek name it.
        reasoning: The same, as vLLM names it.
        tool_calls: Whole calls; in an event, parts of them.
    """

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None


class Choice(msgspec.Struct, frozen=True, gc=False):
    """One of the answers to a query.

    Attributes:
        delta: Of an event of a chat.
        text: Of a completion, both whole and in an event.
        message: Of a whole answer of a chat.
        index: 0 for the only one that is kept.
        finish_reason: None while it goes on.
    """

    delta: Message | None = None
    text: str | None = None
    message: Message | None = None
    index: int | None = 0
    finish_reason: str | None = None


class OpenAIEvent(msgspec.Struct, frozen=True, gc=False):
    """The data of an event, or a whole answer; other fields are not kept.

    Attributes:
        choices: Empty where only `usage` is told.
        usage: Numbers of tokens, as the endpoint tells them.
        error: JSON; `NO_ERROR` if there is none.
    """

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NO_ERROR


_decode = msgspec.json.Decoder(OpenAIEvent).decode


def request_body(data: dict[str, Any], prompt: dict[str, Any]) -> bytes:
    """Encode a request of all that a query says besides its prompt.

    Keys that begin with an underscore, and those without a value, are left out.

    Raises:
        RequestError: A value that JSON cannot hold.
    """
    request = {"model": "no-model-name", **prompt}
    for key, value in data.items():
        if value is not None and key not in _PROMPTS and key[:1] != "_":
            request[key] = value
    return _json.as_body(request)


def decode_event(data: bytes) -> OpenAIEvent | None:
    """Decode the data of an event; None for ``[DONE]``.

    Raises:
        RemoteProtocolError: It is neither.
    """
    try:
        event = _decode(data)
    except Exception:
        # Not the usual way, which so has no step of its own for each event.
        other = _json.decode_event(_decode, data)
        return None if other is None else _with_error(other, data)
    return event if event.choices else _with_error(event, data)


def decode_response(body: bytes, query_id: str) -> QueryResult:
    """Decode a whole answer of either interface.

    Raises:
        RemoteProtocolError: It is none.
    """
    answer = _with_error(_json.decode(_decode, body, "response"), body)
    if answer.error is not NO_ERROR:
        error = _json.endpoint_error(answer.error)
        if error is not None:
            return QueryResult(id=query_id, error=error)
    if not answer.choices:
        msg = "response has no choices"
        raise RemoteProtocolError(msg)
    choice = answer.choices[0]
    message = choice.message or Message(content=choice.text)
    calls = [without_nulls(call) for call in message.tool_calls or ()]
    metadata = {
        "finish_reason": choice.finish_reason,
        "tool_calls": calls,
        "usage": answer.usage,
    }
    return QueryResult(
        id=query_id,
        response_output=TextModelOutput(
            output=message.content or "",
            reasoning=message.reasoning_content or message.reasoning or None,
            tool_calls=tuple(calls) or None,
        ),
        metadata={key: value for key, value in metadata.items() if value},
    )


def without_nulls(call: ToolCall) -> dict[str, Any]:
    """Return a call, or part of one, with only the keys that have a value."""
    return {key: value for key, value in call.items() if value is not None}


def _with_error(event: OpenAIEvent, data: bytes) -> OpenAIEvent:
    """Find the error of older servers, which have it at the top."""
    if event.choices or event.error is not NO_ERROR or not _json.reports_error(data):
        return event
    return OpenAIEvent(error=msgspec.Raw(data))
