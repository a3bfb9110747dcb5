"""The adapter of ``/v1/chat/completions``."""

from typing import Any

from busduct.endpoint.adapters import _json, _openai
from busduct.messages import Query, QueryResult

__all__ = ["OpenAIChatAdapter"]


class OpenAIChatAdapter:
    """Speak to a chat interface like OpenAI's.

    Keys of `Query.data`: ``messages``, or else ``prompt`` with, if there are any,
    ``system`` and ``name`` (the user's); texts, or lists of content parts. Every other
    key is a field of the request under its own name (``model``, ``stream``,
    ``max_completion_tokens``, ``temperature``, ``tools``, ``stream_options``, ...),
    whether it is known here or not, except those that begin with an underscore, have
    no value, or hold a prompt for another interface (``input_tokens``, ``input_ids``,
    ``text``). Without ``model`` it is ``no-model-name``.

    Of several answers (``n``) the first is kept.
    """

    @classmethod
    def encode_query(cls, query: Query) -> bytes:
        """Return the body of the request.

        Raises:
            RequestError: The query has neither messages nor a prompt, or a value that
                JSON cannot hold.
        """
        data = query.data
        messages = data.get("messages")
        if messages is None:
            messages = _messages_of(data)
        return _openai.request_body(data, {"messages": messages})

    @classmethod
    def decode_response(cls, body: bytes, query_id: str) -> QueryResult:
        """Return the result that a whole body is; with `error` if the body is one.

        Metadata: ``finish_reason``, ``usage`` and ``tool_calls``, each if there is one.

        Raises:
            RemoteProtocolError: The body is no answer, or has no choices.
        """
        return _openai.decode_response(body, query_id)

    # Themselves, since each call is made for each event.
    decode_event = staticmethod(_openai.decode_event)
    decode_sse_message = decode_event
    is_done = staticmethod(_json.is_done)


def _messages_of(data: dict[str, Any]) -> list[dict[str, Any]]:
    prompt = data.get("prompt")
    if prompt is None:
        raise _json.missing("messages", "prompt")
    message = {"role": "user", "content": prompt}
    name = data.get("name")
    if name is not None:
        message["name"] = name
    system = data.get("system")
    if system is None:
        return [message]
    return [{"role": "system", "content": system}, message]
