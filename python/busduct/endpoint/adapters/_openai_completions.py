"""The adapter of ``/v1/completions``."""

from busduct.endpoint.adapters import _json, _openai
from busduct.messages import Query, QueryResult

__all__ = ["OpenAICompletionsAdapter"]


class OpenAICompletionsAdapter:
    """Speak to a text completion interface like OpenAI's.

    Keys of `Query.data`: the first there is of ``input_tokens``, ``input_ids`` (lists
    of token ids, past the endpoint's tokenizer), ``prompt`` and ``text``. Every other
    key is a field of the request under its own name, whether it is known here or not,
    except those that begin with an underscore, have no value, or belong to a chat
    (``messages``, ``system``, ``name``). Without ``model`` it is ``no-model-name``.

    Of several answers (``n``) the first is kept.
    """

    @classmethod
    def encode_query(cls, query: Query) -> bytes:
        """Return the body of the request.

        Raises:
            RequestError: The query has no prompt, or a value that JSON cannot hold.
        """
        data = query.data
        for key in ("input_tokens", "input_ids", "prompt", "text"):
            prompt = data.get(key)
            if prompt is not None:
                return _openai.request_body(data, {"prompt": prompt})
        raise _json.missing("prompt", "input_tokens")

    @classmethod
    def decode_response(cls, body: bytes, query_id: str) -> QueryResult:
        """Return the result that a whole body is; with `error` if the body is one.

        Metadata: ``finish_reason`` and ``usage``, each if there is one.

        Raises:
            RemoteProtocolError: The body is no answer, or has no choices.
        """
        return _openai.decode_response(body, query_id)

    # Themselves, since each call is made for each event.
    decode_event = staticmethod(_openai.decode_event)
    decode_sse_message = decode_event
    is_done = staticmethod(_json.is_done)
