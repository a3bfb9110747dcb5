"""Join the events of SGLang's ``/generate`` into chunks and a result."""

from typing import Any

from busduct.endpoint.adapters import SGLangEvent
from busduct.endpoint.adapters._json import NO_ERROR, endpoint_error
from busduct.endpoint.adapters._sglang import MetaInfo, ending
from busduct.messages import ErrorData, QueryResult, StreamChunk, TextModelOutput

__all__ = ["SGLangSSEAccumulator"]


class SGLangSSEAccumulator:
    """Join the events of SGLang's ``/generate``, each of which tells the whole text.

    Each chunk is what an event added to the text. If an event takes back the end of
    the text before it (a retraction), the chunk's metadata has ``retracted``, the
    number of characters to take off the end of all that came before; `response_chunk`,
    which may be empty, follows what is left. Metadata of every chunk: ``first_chunk``,
    ``final_chunk`` (False), ``retraction_occurred`` (by now), ``n_tokens`` (since the
    event before).

    The result's metadata: ``final_chunk`` (True), ``first_chunk`` (whether no chunk was
    made), ``retraction_occurred``, ``n_tokens``, ``token_ids``, and ``finish_reason``
    and ``usage``, each if it is told.

    Args:
        query_id: Of the chunks and the result.
        stream_all_chunks: Make a chunk of every event that changes the text; otherwise
            of the first only.

    Attributes:
        error: What the endpoint reported as an error; it ends the query.
        finish_reason: None until the endpoint has given it.
        first_chunk_sent: Whether a chunk was made.
    """

    __slots__ = (
        "_about",
        "_retraction_occurred",
        "_text",
        "_token_ids",
        "error",
        "first_chunk_sent",
        "query_id",
        "stream_all_chunks",
    )

    def __init__(self, query_id: str, stream_all_chunks: bool) -> None:
        self.query_id = query_id
        self.stream_all_chunks = stream_all_chunks
        self.first_chunk_sent = False
        self.error: ErrorData | None = None
        self._text = ""
        self._token_ids: list[int] = []
        self._about = MetaInfo()
        self._retraction_occurred = False

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended; None until the endpoint has given it."""
        return self._about.finish_type()

    def add_chunk(self, delta: SGLangEvent | None) -> StreamChunk | None:
        """Take an event; None, or anything else, adds nothing.

        Returns:
            The chunk to send; None if the event leaves the text as it was, or its chunk
            is not wanted.
        """
        if not isinstance(delta, SGLangEvent):
            return None
        if delta.error is not NO_ERROR:
            self.error = endpoint_error(delta.error) or self.error
        if delta.meta_info is not None:
            self._add_info(delta.meta_info)
        num_tokens = self._add_tokens(delta.output_ids) if delta.output_ids else 0
        before, text = self._text, delta.text
        if text is None or text == before:
            return None
        self._text = text
        num_kept = len(before)
        if not text.startswith(before):
            num_kept = _common_length(before, text)
            self._retraction_occurred = True
        if self.first_chunk_sent and not self.stream_all_chunks:
            return None
        return self._chunk(text[num_kept:], len(before) - num_kept, num_tokens)

    def get_final_output(self) -> QueryResult:
        """Return the result; after an error, that and what came before it."""
        error = self.error or self._about.abort_error()
        metadata: dict[str, Any] = {
            "first_chunk": not self.first_chunk_sent,
            "final_chunk": True,
            "retraction_occurred": self._retraction_occurred,
            "n_tokens": self._about.completion_tokens or len(self._token_ids),
            "token_ids": self._token_ids,
        }
        has_any = self._text or self._token_ids
        return QueryResult(
            id=self.query_id,
            response_output=(
                TextModelOutput(output=self._text) if has_any or not error else None
            ),
            metadata=metadata | ending(self._about),
            error=error,
        )

    def _add_info(self, about: MetaInfo) -> None:
        self._about = about
        if about.total_retractions:
            self._retraction_occurred = True

    def _add_tokens(self, token_ids: list[int]) -> int:
        """Take the tokens of an event; return how many are new.

        Servers differ in whether an event has all of them or those since the event
        before, and `completion_tokens`, which counts all, tells which it is.
        """
        num_before = len(self._token_ids)
        if num_before and len(token_ids) == self._about.completion_tokens:
            self._token_ids = token_ids
            return max(len(token_ids) - num_before, 0)
        self._token_ids.extend(token_ids)
        return len(token_ids)

    def _chunk(self, text: str, num_retracted: int, num_tokens: int) -> StreamChunk:
        metadata: dict[str, Any] = {
            "first_chunk": not self.first_chunk_sent,
            "final_chunk": False,
            "retraction_occurred": self._retraction_occurred,
            "n_tokens": num_tokens,
        }
        if num_retracted:
            metadata["retracted"] = num_retracted
        self.first_chunk_sent = True
        return StreamChunk(id=self.query_id, response_chunk=text, metadata=metadata)


def _common_length(first: str, second: str) -> int:
    """Return how many characters both begin with, in logarithmically many steps."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first.startswith(second[:middle]):
            low = middle
        else:
            high = middle - 1
    return low
