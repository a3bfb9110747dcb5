"""Join the events of OpenAI's interfaces into chunks and a result."""

from typing import Any

from busduct.endpoint.adapters import OpenAIEvent
from busduct.endpoint.adapters._json import NO_ERROR, endpoint_error
from busduct.endpoint.adapters._openai import ToolCall, without_nulls
from busduct.messages import (
    ErrorData,
    QueryResult,
    StreamChunk,
    TextModelOutput,
    merge_tool_calls,
)

__all__ = ["OpenAISSEAccumulator"]


class OpenAISSEAccumulator:
    """Join the events of a chat or a text completion.

    Each chunk is the text that one event added, reasoning before content. Calls of
    tools are no text: if a stream begins with one, a single empty chunk stands for it,
    so that the time to the first token can be told. Metadata of a chunk:
    ``first_chunk``.

    The result's reasoning, or else its output, is a tuple: the first chunk, and the
    rest if there is any. Its metadata: ``final_chunk`` (True), ``first_chunk`` (whether
    no chunk was made), and ``finish_reason``, ``tool_calls`` (merged) and ``usage``,
    each if there is one.

    Args:
        query_id: Of the chunks and the result.
        stream_all_chunks: Make a chunk of every event with text; otherwise of the first
            only.

    Attributes:
        error: What the endpoint reported as an error; it ends the query.
        finish_reason: None until the endpoint has given it.
        first_chunk_sent: Whether a chunk was made.
    """

    __slots__ = (
        "_output",
        "_reasoning",
        "_tool_calls",
        "_usage",
        "error",
        "finish_reason",
        "first_chunk_sent",
        "query_id",
        "stream_all_chunks",
    )

    def __init__(self, query_id: str, stream_all_chunks: bool) -> None:
        self.query_id = query_id
        self.stream_all_chunks = stream_all_chunks
        self.first_chunk_sent = False
        self.finish_reason: str | None = None
        self.error: ErrorData | None = None
        self._output: list[str] = []
        self._reasoning: list[str] = []
        self._tool_calls: list[list[dict[str, Any]]] = []
        self._usage: dict[str, Any] | None = None

    def add_chunk(self, delta: OpenAIEvent | None) -> StreamChunk | None:
        """Take an event; None, or anything else, adds nothing.

        Returns:
            The chunk to send; None if the event adds no text, or its chunk is not
            wanted.
        """
        if not isinstance(delta, OpenAIEvent):
            return None
        if delta.usage is not None:
            self._usage = delta.usage
        if delta.error is not NO_ERROR:
            self.error = endpoint_error(delta.error) or self.error
        # Answers after the first (`n`) are not kept.
        if not delta.choices or delta.choices[0].index:
            return None
        choice = delta.choices[0]
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
        message = choice.delta
        text = choice.text if message is None else message.content
        if text:
            self._output.append(text)
        if message is not None:
            thought = message.reasoning_content or message.reasoning
            if thought:
                self._reasoning.append(thought)
                text = thought + (text or "")
            if message.tool_calls:
                self._add_calls(message.tool_calls)
                if not text and not self.first_chunk_sent:
                    return self._chunk("")
        if not text or (self.first_chunk_sent and not self.stream_all_chunks):
            return None
        return self._chunk(text)

    def get_final_output(self) -> QueryResult:
        """Return the result; after an error, that and what came before it."""
        metadata: dict[str, Any] = {
            "first_chunk": not self.first_chunk_sent,
            "final_chunk": True,
        }
        if self.finish_reason:
            metadata["finish_reason"] = self.finish_reason
        tool_calls = tuple(self._tool_calls) or None
        if tool_calls:
            metadata["tool_calls"] = list(merge_tool_calls(tool_calls) or ())
        if self._usage:
            metadata["usage"] = self._usage
        has_any = self._output or self._reasoning or tool_calls
        return QueryResult(
            id=self.query_id,
            response_output=self._model_output() if has_any or not self.error else None,
            metadata=metadata,
            error=self.error,
        )

    def _add_calls(self, parts: list[ToolCall]) -> None:
        self._tool_calls.append([without_nulls(part) for part in parts])

    def _chunk(self, text: str) -> StreamChunk:
        is_first = not self.first_chunk_sent
        self.first_chunk_sent = True
        return StreamChunk(
            id=self.query_id, response_chunk=text, metadata={"first_chunk": is_first}
        )

    def _model_output(self) -> TextModelOutput:
        tool_calls = tuple(self._tool_calls) or None
        if self._reasoning:
            return TextModelOutput(
                output="".join(self._output),
                reasoning=_in_two(self._reasoning),
                tool_calls=tool_calls,
            )
        return TextModelOutput(output=_in_two(self._output), tool_calls=tool_calls)


def _in_two(pieces: list[str]) -> tuple[str, ...]:
    """Return the first piece, and the others as one if there are any."""
    return (pieces[0], "".join(pieces[1:])) if len(pieces) > 1 else tuple(pieces)
