"""The reply bodies and event data, as OpenAI's clients read them."""

import time
import uuid
from typing import Literal, TypeAlias

import msgspec

__all__ = [
    "DONE",
    "ChatChoice",
    "ChatChunk",
    "ChatChunkChoice",
    "ChatCompletion",
    "ChatDelta",
    "ChatReplyMessage",
    "Choice",
    "Completion",
    "Finish",
    "ModelCard",
    "ModelList",
    "Usage",
    "encode",
    "event",
    "new_id",
    "now",
]

Finish: TypeAlias = Literal["stop", "length"]

DONE = b"data: [DONE]\n\n"

encode = msgspec.json.Encoder().encode


def event(data: msgspec.Struct) -> bytes:
    """Return a server-sent event with `data` as JSON."""
    return b"data: %b\n\n" % encode(data)


def new_id(prefix: str) -> str:
    """Return an id that no other request has."""
    return f"{prefix}-{uuid.uuid4().hex}"


def now() -> int:
    """Return the time as OpenAI's `created`: whole seconds since 1970."""
    return int(time.time())


class Usage(msgspec.Struct, kw_only=True):
    """Tokens of a request; of all its prompts together."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class Choice(msgspec.Struct, kw_only=True):
    """The text for one prompt, or what is new of it."""

    index: int
    text: str
    logprobs: None = None
    finish_reason: Finish | None = None


class Completion(msgspec.Struct, kw_only=True):
    """A completion, or one event of a streamed one.

    `usage` is left out of events unless the client asked for it; then it is null in
    all but the last.
    """

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET


class ChatReplyMessage(msgspec.Struct, kw_only=True):
    """The assistant's turn."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(msgspec.Struct, kw_only=True):
    """The one answer of a chat."""

    index: int = 0
    message: ChatReplyMessage
    logprobs: None = None
    finish_reason: Finish | None = None


class ChatCompletion(msgspec.Struct, kw_only=True):
    """The reply to a chat that is not streamed."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage


class ChatDelta(msgspec.Struct, kw_only=True):
    """What is new of the assistant's turn; its role comes first, and once."""

    role: Literal["assistant"] | msgspec.UnsetType = msgspec.UNSET
    content: str | msgspec.UnsetType = msgspec.UNSET


class ChatChunkChoice(msgspec.Struct, kw_only=True):
    """The one answer's part of an event."""

    index: int = 0
    delta: ChatDelta
    logprobs: None = None
    finish_reason: Finish | None = None


class ChatChunk(msgspec.Struct, kw_only=True):
    """One event of a streamed chat; `usage` as in `Completion`."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChatChunkChoice]
    usage: Usage | msgspec.UnsetType | None = msgspec.UNSET


class ModelCard(msgspec.Struct, kw_only=True):
    """The model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "busduct"
    max_model_len: int


class ModelList(msgspec.Struct, kw_only=True):
    """All models that are served: one."""

    object: Literal["list"] = "list"
    data: list[ModelCard]
