"""The messages between the processes of an engine, and their strict decoders.

Each is a msgpack array whose first item is its tag. Every message about requests holds
the epoch of its sender: the engine raises it whenever a process died, so that what was
under way before is told apart from what came after.
"""

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import msgspec

from busduct.pipeline._types import FinishReason, SamplingParams

__all__ = [
    "AbortReq",
    "BatchStrOutput",
    "BatchTokenIDOutput",
    "DetokenizerInput",
    "PingReq",
    "PongRes",
    "ReadyRes",
    "RequestFailed",
    "ResetReq",
    "SchedulerInput",
    "StopReq",
    "TokenizedGenerateReqInput",
    "TokenizerInput",
    "decode_detokenizer_input",
    "decode_scheduler_input",
    "decode_tokenizer_input",
    "encode",
    "salvage_rids",
]


T = TypeVar("T")


class TokenizedGenerateReqInput(
    msgspec.Struct, frozen=True, array_like=True, tag="generate"
):
    """Generate from these tokens (tokenizer to scheduler)."""

    rid: str
    epoch: int
    input_ids: list[int]
    sampling_params: SamplingParams


class AbortReq(msgspec.Struct, frozen=True, array_like=True, tag="abort"):
    """End a request with the reason ``"abort"`` (tokenizer to scheduler)."""

    rid: str


class StopReq(msgspec.Struct, frozen=True, array_like=True, tag="stop"):
    """Forget a request that a stop string has ended (detokenizer to scheduler)."""

    rid: str


class ResetReq(msgspec.Struct, frozen=True, array_like=True, tag="reset"):
    """Forget every request of an earlier epoch (tokenizer to scheduler, and on)."""

    epoch: int


class PingReq(msgspec.Struct, frozen=True, array_like=True, tag="ping"):
    """Answer with `PongRes` (tokenizer to scheduler, and on)."""

    number: int


class PongRes(msgspec.Struct, frozen=True, array_like=True, tag="pong"):
    """A sign of life (to tokenizer).

    Attributes:
        name: ``"scheduler"`` or ``"detokenizer"``.
        number: Of the `PingReq`.
    """

    name: str
    number: int


class BatchTokenIDOutput(msgspec.Struct, frozen=True, array_like=True, tag="tokens"):
    """What one step gave, in lists of one length (scheduler to detokenizer).

    Attributes:
        rids: One per request of the batch that has something to tell.
        epoch: Of all of them.
        output_ids: The tokens since the last message.
        finish_reasons: None where the request goes on.
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens generated so far, these included.
        stops: The stop strings in a request's first message; None in later ones.
    """

    rids: list[str]
    epoch: int
    output_ids: list[list[int]]
    finish_reasons: list[FinishReason | None]
    prompt_tokens: list[int]
    completion_tokens: list[int]
    stops: list[tuple[str, ...] | None]

    def __post_init__(self) -> None:
        _require_one_length(
            self.rids,
            self.output_ids,
            self.finish_reasons,
            self.prompt_tokens,
            self.completion_tokens,
            self.stops,
        )


class BatchStrOutput(msgspec.Struct, frozen=True, array_like=True, tag="text"):
    """Text, in lists of one length (detokenizer to tokenizer)."""

    rids: list[str]
    epoch: int
    output_strs: list[str]
    output_ids: list[list[int]]
    finish_reasons: list[FinishReason | None]
    prompt_tokens: list[int]
    completion_tokens: list[int]

    def __post_init__(self) -> None:
        _require_one_length(
            self.rids,
            self.output_strs,
            self.output_ids,
            self.finish_reasons,
            self.prompt_tokens,
            self.completion_tokens,
        )


class RequestFailed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """A request has ended with an error (to detokenizer, to tokenizer).

    Attributes:
        rid: Which.
        epoch: Of the sender.
        code: As of `RequestError`; ``"internal_error"`` is not the caller's fault.
        message: For the caller; names no internals.
    """

    rid: str
    epoch: int
    code: str
    message: str


class ReadyRes(msgspec.Struct, frozen=True, array_like=True, tag="ready"):
    """A process is ready (to tokenizer).

    Attributes:
        name: ``"scheduler"`` or ``"detokenizer"``.
        generation: The number that its starter gave this process.
        vocab_size: Of the model; 0 from the detokenizer, as the next one.
        context_length: Of the model.
    """

    name: str
    generation: int
    vocab_size: int = 0
    context_length: int = 0


SchedulerInput: TypeAlias = (
    TokenizedGenerateReqInput | AbortReq | StopReq | ResetReq | PingReq
)
DetokenizerInput: TypeAlias = BatchTokenIDOutput | RequestFailed | ResetReq | PingReq
TokenizerInput: TypeAlias = BatchStrOutput | RequestFailed | ReadyRes | PongRes

_encoder = msgspec.msgpack.Encoder()
_scheduler_decoder: msgspec.msgpack.Decoder[SchedulerInput] = msgspec.msgpack.Decoder(
    SchedulerInput
)
_detokenizer_decoder: msgspec.msgpack.Decoder[DetokenizerInput] = (
    msgspec.msgpack.Decoder(DetokenizerInput)
)
_tokenizer_decoder: msgspec.msgpack.Decoder[TokenizerInput] = msgspec.msgpack.Decoder(
    TokenizerInput
)

_any_decoder = msgspec.msgpack.Decoder()

encode = _encoder.encode


def decode_scheduler_input(data: bytes) -> SchedulerInput:
    """Decode one message to the scheduler.

    Raises:
        msgspec.DecodeError: Malformed, or of other types than declared.
    """
    return _decode(_scheduler_decoder, data)


def decode_detokenizer_input(data: bytes) -> DetokenizerInput:
    """Decode one message to the detokenizer; raises as `decode_scheduler_input`."""
    return _decode(_detokenizer_decoder, data)


def decode_tokenizer_input(data: bytes) -> TokenizerInput:
    """Decode one message to the tokenizer; raises as `decode_scheduler_input`."""
    return _decode(_tokenizer_decoder, data)


def salvage_rids(data: bytes) -> list[str]:
    """Return the request ids of a message that did not decode, as far as it has any.

    The requests it was about would otherwise wait for it for ever.
    """
    try:
        items = _decode(_any_decoder, data)
    except msgspec.DecodeError:
        return []
    if not isinstance(items, list) or len(items) < 2:
        return []
    rids = items[1] if isinstance(items[1], list) else [items[1]]
    return [rid for rid in rids if isinstance(rid, str)]


def _decode(decoder: msgspec.msgpack.Decoder[T], data: bytes) -> T:
    try:
        return decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        # What msgspec lets through of strings that are not UTF-8, and of deep nesting.
        raise msgspec.DecodeError(str(error)) from error


def _require_one_length(first: list[str], *others: Sequence[object]) -> None:
    if any(len(other) != len(first) for other in others):
        msg = "lists of different lengths"
        raise ValueError(msg)
