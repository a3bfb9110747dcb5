"""What a request asks for, in each API (no I/O)."""

from typing import Any

import msgspec

__all__ = ["EchoRequest", "decode_request"]


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _SamplingParams(msgspec.Struct):
    max_new_tokens: int | None = None


class EchoRequest(msgspec.Struct, kw_only=True):
    """The fields that an echo server heeds, of all APIs together."""

    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    sampling_params: _SamplingParams | None = None
    prompt: Any = None
    messages: list[dict[str, Any]] | None = None
    text: Any = None
    input_ids: list[Any] | None = None

    @property
    def num_tokens(self) -> int | None:
        """How many tokens the request allows, if it says so."""
        if self.sampling_params is not None:
            return self.sampling_params.max_new_tokens
        return self.max_completion_tokens or self.max_tokens

    @property
    def include_usage(self) -> bool:
        """Whether a streamed answer shall end with the numbers of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def prompt_text(self) -> str:
        """Return the prompt, of a chat the last message, of token ids a space each."""
        if self.messages:
            content = self.messages[-1].get("content")
            if isinstance(content, list):
                return "".join(
                    str(part.get("text", ""))
                    for part in content
                    if isinstance(part, dict)
                )
            return str(content or "")
        for given in (self.prompt, self.text, self.input_ids):
            if isinstance(given, str):
                return given
            if isinstance(given, list):
                return "".join(item if isinstance(item, str) else " " for item in given)
        return ""


_decoder = msgspec.json.Decoder(EchoRequest)


def decode_request(body: bytes) -> EchoRequest:
    """Return the request.

    Raises:
        msgspec.DecodeError: Not JSON, or a field of the wrong type.
    """
    return _decoder.decode(body)
