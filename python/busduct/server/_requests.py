"""The request bodies, as OpenAI's clients send them, and what they ask of an engine."""

from typing import Annotated, Any, Literal

import msgspec

from busduct.errors import RequestError
from busduct.pipeline import SamplingParams

__all__ = [
    "ChatRequest",
    "CompletionRequest",
    "chat_messages",
    "prompts_of",
    "require_supported",
    "sampling_params",
]

# Fields that would change the answer: served only where they ask for nothing.
REFUSED = (
    "frequency_penalty",
    "functions",
    "logit_bias",
    "presence_penalty",
    "suffix",
    "tools",
    "top_logprobs",
)

PositiveInt = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


class StreamOptions(msgspec.Struct, kw_only=True):
    """Options of a streamed reply."""

    include_usage: bool | None = None


class ResponseFormat(msgspec.Struct, kw_only=True):
    """The form that the text shall have; free text is the only one there is."""

    type: Literal["text"] = "text"


class _GenerationRequest(msgspec.Struct, kw_only=True):
    """What both kinds of request have in common. Other fields are ignored."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: PositiveInt | None = None
    n: int | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=4)] | None = None
    ignore_eos: bool | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None


class CompletionRequest(_GenerationRequest, kw_only=True):
    """The body of ``POST /v1/completions``."""

    prompt: str | list[str | int | list[int]]
    echo: bool | None = None
    logprobs: int | None = None
    best_of: int | None = None
    suffix: str | None = None


class TextPart(msgspec.Struct, tag_field="type", tag="text"):
    """A piece of a message."""

    text: str


class ChatMessage(msgspec.Struct, kw_only=True):
    """One turn of a chat."""

    role: Literal["developer", "system", "user", "assistant"]
    content: str | list[TextPart]


class ChatRequest(_GenerationRequest, kw_only=True):
    """The body of ``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatMessage], msgspec.Meta(min_length=1)]
    max_completion_tokens: PositiveInt | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None


def require_supported(request: CompletionRequest | ChatRequest) -> None:
    """Refuse what would change the answer and cannot be done.

    Raises:
        RequestError: With the field as its `param`.
    """
    if request.n not in (None, 1):
        msg = f"n is {request.n}; this service gives 1 choice per prompt"
        raise RequestError(msg, code="unsupported_value", param="n")
    refused = [name for name in REFUSED if getattr(request, name, None)]
    # A completion's logprobs of 0 still asks for those of the chosen tokens.
    if request.logprobs is not None and request.logprobs is not False:
        refused.append("logprobs")
    if getattr(request, "best_of", None) not in (None, 1):
        refused.append("best_of")
    if refused:
        msg = f"{refused[0]} is not supported by this service; leave it out"
        raise RequestError(msg, code="unsupported_value", param=refused[0])


def sampling_params(
    request: CompletionRequest | ChatRequest, default_max: int
) -> SamplingParams:
    """Return how to sample; `default_max` tokens where the request names no number.

    Raises:
        RequestError: A value that the engine does not take.
    """
    limit = getattr(request, "max_completion_tokens", None) or request.max_tokens
    stop = [request.stop] if isinstance(request.stop, str) else request.stop
    return SamplingParams(
        max_tokens=limit or default_max,
        temperature=1.0 if request.temperature is None else float(request.temperature),
        top_p=1.0 if request.top_p is None else float(request.top_p),
        top_k=request.top_k or 0,
        seed=request.seed,
        stop=tuple(stop or ()),
        ignore_eos=bool(request.ignore_eos),
    )


def prompts_of(request: CompletionRequest, limit: int) -> list[str | list[int]]:
    """Return the prompts of a request: one text, one list of token ids, or many.

    Raises:
        RequestError: None at all, more than `limit`, or a mixture of kinds.
    """
    prompt = request.prompt
    if isinstance(prompt, str):
        return [prompt]
    kinds = {type(item) for item in prompt}
    if kinds == {int}:
        return [[item for item in prompt if isinstance(item, int)]]
    if kinds not in ({str}, {list}):
        msg = (
            "prompt must be a text, a list of texts, a list of token ids, "
            "or a list of such lists, and not empty"
        )
        raise RequestError(msg, code="invalid_value", param="prompt")
    if len(prompt) > limit:
        msg = f"prompt has {len(prompt)} items; this service takes up to {limit}"
        raise RequestError(msg, code="invalid_value", param="prompt")
    return [item for item in prompt if not isinstance(item, int)]


def chat_messages(request: ChatRequest) -> list[tuple[str, str]]:
    """Return the turns as pairs of role and text."""
    pairs: list[tuple[str, str]] = []
    for message in request.messages:
        role = "system" if message.role == "developer" else message.role
        content = message.content
        if not isinstance(content, str):
            content = "".join(part.text for part in content)
        pairs.append((role, content))
    return pairs
