"""The bodies and events of each kind of answer, as JSON (no I/O)."""

from typing import Any, ClassVar, Protocol

import msgspec

__all__ = ["DONE", "FORMATS", "AnswerFormat", "error_body", "models_body"]

DONE = b"data: [DONE]\n\n"
# Fixed, so that answers made beforehand stay true to themselves.
_ID = "echo"
_CREATED = 0

_encode = msgspec.json.Encoder().encode


def _event(data: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _encode(data)


def _usage(num_prompt_tokens: int, num_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": num_prompt_tokens,
        "completion_tokens": num_tokens,
        "total_tokens": num_prompt_tokens + num_tokens,
    }


class AnswerFormat(Protocol):
    """How one API writes an answer."""

    path: ClassVar[bytes]

    def whole(self, model: str, text: str, num_prompt_tokens: int) -> bytes:
        """Return the body of an answer that is not streamed."""

    def piece(self, model: str, text: str, start: int, end: int) -> bytes:
        """Return the event that brings ``text[start:end]``."""

    def ending(
        self, model: str, text: str, num_prompt_tokens: int, *, include_usage: bool
    ) -> bytes:
        """Return what follows the last piece."""


class _Chat:
    path: ClassVar[bytes] = b"/v1/chat/completions"

    def whole(self, model: str, text: str, num_prompt_tokens: int) -> bytes:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        reply = self._reply("chat.completion", model, [choice])
        return _encode(reply | {"usage": _usage(num_prompt_tokens, len(text))})

    def piece(self, model: str, text: str, start: int, end: int) -> bytes:
        delta = {"content": text[start:end]}
        if start == 0:
            delta = {"role": "assistant", **delta}
        return self._chunk(model, delta, None)

    def ending(
        self, model: str, text: str, num_prompt_tokens: int, *, include_usage: bool
    ) -> bytes:
        events = self._chunk(model, {}, "stop")
        if include_usage:
            usage = _usage(num_prompt_tokens, len(text))
            last = self._reply("chat.completion.chunk", model, [])
            events += _event(last | {"usage": usage})
        return events + DONE

    def _chunk(self, model: str, delta: dict[str, str], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return _event(self._reply("chat.completion.chunk", model, [choice]))

    @staticmethod
    def _reply(kind: str, model: str, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": _ID,
            "object": kind,
            "created": _CREATED,
            "model": model,
            "choices": choices,
        }


class _Completions:
    path: ClassVar[bytes] = b"/v1/completions"

    def whole(self, model: str, text: str, num_prompt_tokens: int) -> bytes:
        reply = self._reply(model, [self._choice(text, "stop")])
        return _encode(reply | {"usage": _usage(num_prompt_tokens, len(text))})

    def piece(self, model: str, text: str, start: int, end: int) -> bytes:
        return _event(self._reply(model, [self._choice(text[start:end], None)]))

    def ending(
        self, model: str, text: str, num_prompt_tokens: int, *, include_usage: bool
    ) -> bytes:
        events = _event(self._reply(model, [self._choice("", "stop")]))
        if include_usage:
            usage = _usage(num_prompt_tokens, len(text))
            events += _event(self._reply(model, []) | {"usage": usage})
        return events + DONE

    @staticmethod
    def _choice(text: str, finish: str | None) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}

    @staticmethod
    def _reply(model: str, choices: list[Any]) -> dict[str, Any]:
        return {
            "id": _ID,
            "object": "text_completion",
            "created": _CREATED,
            "model": model,
            "choices": choices,
        }


class _Generate:
    """SGLang's own: each event has all of the text so far, and the new token ids."""

    path: ClassVar[bytes] = b"/generate"

    def whole(self, model: str, text: str, num_prompt_tokens: int) -> bytes:
        ids = list(map(ord, text))
        return _encode(self._reply(text, ids, num_prompt_tokens, is_last=True))

    def piece(self, model: str, text: str, start: int, end: int) -> bytes:
        ids = list(map(ord, text[start:end]))
        is_last = end == len(text)
        return _event(self._reply(text[:end], ids, 0, is_last=is_last))

    def ending(
        self, model: str, text: str, num_prompt_tokens: int, *, include_usage: bool
    ) -> bytes:
        return DONE

    @staticmethod
    def _reply(
        text: str, ids: list[int], num_prompt_tokens: int, *, is_last: bool
    ) -> dict[str, Any]:
        finish = {"type": "length", "length": len(text)} if is_last else None
        return {
            "text": text,
            "output_ids": ids,
            "meta_info": {
                "id": _ID,
                "finish_reason": finish,
                "prompt_tokens": num_prompt_tokens,
                "weight_version": "default",
                "total_retractions": 0,
                "completion_tokens": len(text),
                "cached_tokens": 0,
                "e2e_latency": 0.0,
            },
        }


FORMATS: tuple[AnswerFormat, ...] = (_Chat(), _Completions(), _Generate())


def models_body(model: str) -> bytes:
    """Return the list of models: the one."""
    card = {"id": model, "object": "model", "created": _CREATED, "owned_by": "busduct"}
    return _encode({"object": "list", "data": [card]})


def error_body(message: str, code: str, kind: str = "invalid_request_error") -> bytes:
    """Return an error in the form that OpenAI's clients read."""
    detail = {"message": message, "type": kind, "param": None, "code": code}
    return _encode({"error": detail})
