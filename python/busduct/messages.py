"""What goes between a client of an inference endpoint and its workers.

The shapes are those of mlcommons/endpoints, byte for byte, so that its processes can be
peers; fields of our own come last. Each is a msgpack array (docs/wire.md, "Queries").
"""

import time
import uuid
from collections.abc import Iterable
from typing import Any

import msgspec

__all__ = [
    "ErrorData",
    "PromptData",
    "Query",
    "QueryResult",
    "StreamChunk",
    "TextModelOutput",
    "merge_tool_calls",
]

Text = str | tuple[str, ...]


def new_query_id() -> str:
    """Return an id that no other query has."""
    return str(uuid.uuid4())


class PromptData(
    msgspec.Struct,
    tag=True,
    frozen=True,
    kw_only=True,
    array_like=True,
    omit_defaults=True,
    gc=False,
):
    """A prompt in one of the forms that an endpoint takes, to count its tokens by.

    Attributes:
        text: As a string.
        token_ids: Already tokenized.
        messages: A chat, to be rendered by the model's template.
        tools: What the template is told of tools.
        chat_template_kwargs: Further arguments of the template.
        chat_template: Instead of the model's own.
        tool_choice: ``"auto"``, ``"none"``, ``"required"``, or the one tool.
    """

    text: str | None = None
    token_ids: tuple[int, ...] | None = None
    messages: tuple[dict[str, Any], ...] | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    chat_template: str | None = None
    tool_choice: str | dict[str, Any] | None = None


class ErrorData(
    msgspec.Struct,
    tag=True,
    frozen=True,
    kw_only=True,
    array_like=True,
    omit_defaults=True,
    gc=False,
):
    """Why a query failed.

    Attributes:
        error_type: A short name: ``worker_died``, ``timeout``, ``cancelled``, ``http``,
            ``connection``, or the class of what was raised.
        error_message: What a person may read.
        status: Of the HTTP response, if there was one.
        retry_after: Seconds after which the endpoint asked to be tried again.
    """

    error_type: str
    error_message: str = ""
    status: int | None = None
    retry_after: float | None = None

    def __str__(self) -> str:
        if not self.error_message:
            return self.error_type
        return f"{self.error_type}: {self.error_message}"


class TextModelOutput(
    msgspec.Struct,
    tag=True,
    frozen=True,
    kw_only=True,
    array_like=True,
    omit_defaults=True,
    gc=False,
):
    """What a model of text gave; each text whole, or in the pieces that were streamed.

    Attributes:
        output: The answer.
        reasoning: What the model thought before it, if it tells.
        tool_calls: Whole calls; or, streamed, for each event the parts of calls that it
            brought (`merge_tool_calls` joins them).
    """

    output: Text = ""
    reasoning: Text | None = None
    tool_calls: tuple[Any, ...] | None = None

    def __str__(self) -> str:
        """Return reasoning, answer and tool calls (as JSON), one after the other."""
        calls = merge_tool_calls(self.tool_calls)
        calls_text = msgspec.json.encode(calls).decode() if calls else ""
        return _joined(self.reasoning) + _joined(self.output) + calls_text

    def text_after_first_chunk(self) -> str:
        """Return what `str` does, less the first piece that was streamed.

        Its tokens are those that the time per output token is counted over. Empty if
        nothing was streamed in pieces.
        """
        reasoning = self.reasoning
        if reasoning:
            is_streamed = not isinstance(reasoning, str)
            thought = "".join(reasoning[1:]) if is_streamed else ""
            answer = _joined(self.output) if is_streamed else ""
            calls = self.tool_calls if is_streamed else None
        elif self.output:
            is_streamed = not isinstance(self.output, str)
            thought = ""
            answer = "".join(self.output[1:]) if is_streamed else ""
            calls = self.tool_calls if is_streamed else None
        else:
            thought = answer = ""
            is_streamed = bool(self.tool_calls) and not isinstance(
                self.tool_calls[0],  # type: ignore[index]
                dict,
            )
            calls = self.tool_calls[1:] if is_streamed and self.tool_calls else None
        merged = merge_tool_calls(calls)
        calls_text = msgspec.json.encode(merged).decode() if merged else ""
        return thought + answer + calls_text


class Query(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    array_like=True,
    omit_defaults=True,
    gc=False,
):
    """A request of an inference endpoint.

    Attributes:
        id: Told from all others that are under way by this.
        data: What to ask; each adapter tells which keys it takes.
        headers: Added to the HTTP request.
        created_at: Seconds since the epoch.
        timeout: Seconds from `issue` until it ends, if need be with an `ErrorData` of
            type ``timeout``; None for what the client is configured with.
    """

    id: str = msgspec.field(default_factory=new_query_id)
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    created_at: float = msgspec.field(default_factory=time.time)
    timeout: float | None = None


class QueryResult(
    msgspec.Struct,
    tag="query_result",
    frozen=True,
    kw_only=True,
    array_like=True,
    omit_defaults=True,
    gc=False,
):
    """How a query ended: with an output or with an error.

    Attributes:
        id: The query's.
        response_output: None if it failed before anything came.
        metadata: Numbers and short texts: ``worker_id``, ``finish_reason``, ``usage``.
        error: None if it succeeded.
        completed_at: Nanoseconds of the monotonic clock at which the worker had it
            whole. The clock is the machine's: a client there may compare it with its
            own.
    """

    id: str = ""
    response_output: TextModelOutput | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    error: ErrorData | None = None
    # A built-in factory, which msgspec calls without a Python frame.
    completed_at: int = msgspec.field(default_factory=time.monotonic_ns)

    def get_response_output_string(self) -> str:
        """Return the output as text, or ``<EMPTY>``."""
        return "<EMPTY>" if self.response_output is None else str(self.response_output)


class StreamChunk(
    msgspec.Struct,
    tag="stream_chunk",
    frozen=True,
    kw_only=True,
    array_like=True,
    omit_defaults=True,
    gc=False,
):
    """A piece of an answer that is still being made; a `QueryResult` comes last.

    Attributes:
        id: The query's.
        response_chunk: Text that follows what came before it.
        metadata: ``first_chunk`` and other short facts.
    """

    id: str = ""
    response_chunk: str = ""
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)


def merge_tool_calls(
    tool_calls: tuple[Any, ...] | None,
) -> tuple[dict[str, Any], ...] | None:
    """Join the parts of streamed tool calls; whole calls are returned as they are.

    Args:
        tool_calls: Of a `TextModelOutput`.

    Returns:
        The calls by their index, each with ``id``, ``type`` and ``function``; None if
        there are none.
    """
    if not tool_calls:
        return None
    if isinstance(tool_calls[0], dict):
        return tool_calls
    merged: dict[int, dict[str, Any]] = {}
    arguments: dict[int, list[str]] = {}
    for parts in tool_calls:
        for part in parts:
            index = part.get("index", 0)
            call = merged.setdefault(index, {"type": "function", "function": {}})
            call.update({key: part[key] for key in ("id", "type") if part.get(key)})
            function = part.get("function") or {}
            if function.get("name"):
                call["function"]["name"] = function["name"]
            pieces = arguments.setdefault(index, [])
            pieces.append(function.get("arguments") or "")
    for index, pieces in arguments.items():
        merged[index]["function"]["arguments"] = "".join(pieces)
    return tuple(merged[index] for index in sorted(merged))


def _joined(text: Iterable[str] | None) -> str:
    return "".join(text or ())
