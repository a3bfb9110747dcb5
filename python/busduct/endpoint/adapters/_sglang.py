"""The adapter of SGLang's own ``/generate``."""

from typing import Any

import msgspec

from busduct.endpoint.adapters._json import (
    MAX_MESSAGE_CHARACTERS,
    NO_ERROR,
    Count,
    as_body,
    decode,
    decode_event,
    endpoint_error,
    http_status,
    is_done,
    missing,
)
from busduct.errors import RemoteProtocolError, RequestError
from busduct.messages import ErrorData, Query, QueryResult, TextModelOutput

__all__ = ["FinishReason", "MetaInfo", "SGLangEvent", "SGLangGenerateAdapter"]

_PROMPTS = ("input_tokens", "input_ids", "text", "prompt")
# Not of this interface; ``model`` is what an endpoint of it serves anyhow.
_NOT_FIELDS = frozenset(
    {
        *_PROMPTS,
        "messages",
        "model",
        "name",
        "sampling_parameters",
        "sampling_params",
        "system",
    }
)
_SAMPLING = frozenset(
    {
        "custom_params",
        "ebnf",
        "frequency_penalty",
        "ignore_eos",
        "json_schema",
        "logit_bias",
        "max_new_tokens",
        "min_new_tokens",
        "min_p",
        "n",
        "no_stop_trim",
        "presence_penalty",
        "regex",
        "repetition_penalty",
        "sampling_seed",
        "skip_special_tokens",
        "spaces_between_special_tokens",
        "stop",
        "stop_regex",
        "stop_token_ids",
        "stream_interval",
        "structural_tag",
        "temperature",
        "top_k",
        "top_p",
    }
)
# What the other interfaces call a sampling parameter.
_OTHER_NAMES = {
    "max_completion_tokens": "max_new_tokens",
    "max_tokens": "max_new_tokens",
    "min_tokens": "min_new_tokens",
    "seed": "sampling_seed",
}


class FinishReason(msgspec.Struct, frozen=True, gc=False):
    """Why an answer ended.

    Attributes:
        type: ``stop``, ``length`` or, with `message` and `status_code`, ``abort``.
    """

    type: str | None = None
    message: str | None = None
    status_code: Count | None = None


class MetaInfo(msgspec.Struct, frozen=True, gc=False):
    """What an answer tells of itself; numbers are those of the whole answer so far."""

    finish_reason: FinishReason | str | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    cached_tokens: Count | None = None
    total_retractions: Count | None = None

    def usage(self) -> dict[str, int]:
        """Return the numbers of tokens that are told, named as OpenAI does."""
        told = {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cached_tokens": self.cached_tokens,
        }
        return {name: number for name, number in told.items() if number is not None}

    def finish_type(self) -> str | None:
        """Return why the answer ended, in a word; None while it goes on."""
        reason = self.finish_reason
        return reason.type if isinstance(reason, FinishReason) else reason

    def abort_error(self) -> ErrorData | None:
        """Return the error of an answer that the endpoint gave up; None otherwise."""
        reason = self.finish_reason
        if self.finish_type() != "abort":
            return None
        found = reason if isinstance(reason, FinishReason) else FinishReason()
        message = f"abort: {found.message}" if found.message else "abort"
        return ErrorData(
            error_type="endpoint",
            error_message=message[:MAX_MESSAGE_CHARACTERS],
            status=http_status(found.status_code),
        )


class SGLangEvent(msgspec.Struct, frozen=True, gc=False):
    """The data of an event, or a whole answer; other fields are not kept.

    Attributes:
        text: All of the answer so far.
        output_ids: Its tokens: all so far, or those since the event before.
        error: JSON; `NO_ERROR` if there is none.
    """

    text: str | None = None
    output_ids: list[Count] | None = None
    meta_info: MetaInfo | None = None
    error: msgspec.Raw = NO_ERROR


_NO_META_INFO = MetaInfo()
_decode = msgspec.json.Decoder(SGLangEvent).decode


class SGLangGenerateAdapter:
    """Speak to SGLang's ``/generate``.

    Keys of `Query.data`: the first there is of ``input_tokens``, ``input_ids`` (token
    ids), ``text`` and ``prompt``. Sampling parameters are those in ``sampling_params``
    (or ``sampling_parameters``), and those at the top, also under the names that OpenAI
    has for them; what is not given is left to the endpoint. Every other key is a field
    of the request under its own name (``stream``, ``return_logprob``, ...), except
    those that begin with an underscore, have no value, or belong to the other
    interfaces (``model``, ``messages``, ``system``, ``name``).

    NB: events must tell the whole text each time, as they do unless the endpoint runs
    with ``--incremental-streaming-output``.
    """

    @classmethod
    def encode_query(cls, query: Query) -> bytes:
        """Return the body of the request.

        Raises:
            RequestError: The query has no prompt, a value that JSON cannot hold, or
                sampling parameters that are no mapping.
        """
        data = query.data
        request = _prompt_of(data)
        sampling: dict[str, Any] = {}
        for key, value in data.items():
            if value is None or key in _NOT_FIELDS or key[:1] == "_":
                continue
            if key in _SAMPLING:
                sampling[key] = value
            elif key in _OTHER_NAMES:
                sampling.setdefault(_OTHER_NAMES[key], value)
            else:
                request[key] = value
        sampling.update(_given_sampling(data))
        request["sampling_params"] = sampling
        return as_body(request)

    @classmethod
    def decode_response(cls, body: bytes, query_id: str) -> QueryResult:
        """Return the result that a whole body is; with `error` if the body is one.

        Metadata: ``token_ids``, ``n_tokens``, and ``finish_reason`` and ``usage``, each
        if it is told.

        Raises:
            RemoteProtocolError: The body is no answer.
        """
        answer = decode(_decode, body, "response")
        about = answer.meta_info or _NO_META_INFO
        error = endpoint_error(answer.error) or about.abort_error()
        if error is not None:
            return QueryResult(id=query_id, error=error)
        if answer.text is None and answer.output_ids is None:
            msg = "response has neither text nor output_ids"
            raise RemoteProtocolError(msg)
        token_ids = answer.output_ids or []
        metadata: dict[str, Any] = {
            "token_ids": token_ids,
            "n_tokens": about.completion_tokens or len(token_ids),
        }
        return QueryResult(
            id=query_id,
            response_output=TextModelOutput(output=answer.text or ""),
            metadata=metadata | ending(about),
        )

    @classmethod
    def decode_event(cls, data: bytes) -> SGLangEvent | None:
        """Return what an event adds; None for ``[DONE]``.

        Raises:
            RemoteProtocolError: The data is no event of this interface.
        """
        return decode_event(_decode, data)

    decode_sse_message = decode_event

    @classmethod
    def is_done(cls, data: bytes) -> bool:
        """Tell whether the data of an event is ``[DONE]``."""
        return is_done(data)


def ending(about: MetaInfo) -> dict[str, Any]:
    """Return the metadata of a result that tells how the answer ended."""
    found = {"finish_reason": about.finish_type(), "usage": about.usage()}
    return {key: value for key, value in found.items() if value}


def _prompt_of(data: dict[str, Any]) -> dict[str, Any]:
    for key in _PROMPTS:
        prompt = data.get(key)
        if prompt is not None:
            is_tokens = key in {"input_tokens", "input_ids"}
            return {"input_ids" if is_tokens else "text": prompt}
    raise missing("text", "input_ids")


def _given_sampling(data: dict[str, Any]) -> dict[str, Any]:
    for key in ("sampling_params", "sampling_parameters"):
        given = data.get(key)
        if isinstance(given, dict):
            return given
        if given is not None:
            msg = f"{key} is a {type(given).__name__}; it must be a mapping"
            raise RequestError(msg, code="not_a_mapping", param=key)
    return {}
