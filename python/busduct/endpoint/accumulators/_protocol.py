"""What is asked of an accumulator."""

from typing import Any, Protocol, runtime_checkable

from busduct.messages import QueryResult, StreamChunk

__all__ = ["SSEAccumulatorProtocol"]


@runtime_checkable
class SSEAccumulatorProtocol(Protocol):
    """What joins the events of one query.

    Args:
        query_id: Of the chunks and the result.
        stream_all_chunks: Make a chunk of every event with text; otherwise of the first
            only, which is what the time to the first token is taken from.
    """

    def __init__(self, query_id: str, stream_all_chunks: bool) -> None: ...

    def add_chunk(self, delta: Any) -> StreamChunk | None:
        """Take what the adapter's `decode_event` gave.

        Returns:
            The chunk to send; None if it adds no text, or its chunk is not wanted.
        """
        ...

    def get_final_output(self) -> QueryResult:
        """Return the result, once the stream has ended."""
        ...
