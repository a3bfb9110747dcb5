"""``POST /v1/completions``."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from busduct.errors import RequestError
from busduct.pipeline import SamplingParams
from busduct.server._engine import TextEngine
from busduct.server._generation import Pieces, Tally, generate_all
from busduct.server._replies import (
    DONE,
    Choice,
    Completion,
    Usage,
    encode,
    event,
    new_id,
    now,
)
from busduct.server._requests import CompletionRequest, prompts_of, sampling_params

__all__ = ["CompletionJob"]

# OpenAI's default for this path.
DEFAULT_MAX_TOKENS = 16


class CompletionJob:
    """One completion request, checked and ready to run."""

    def __init__(
        self, engine: TextEngine, request: CompletionRequest, max_prompts: int
    ) -> None:
        """Check `request`.

        Raises:
            RequestError: What cannot be served, with the field at fault.
        """
        self._engine = engine
        self._prompts = prompts_of(request, max_prompts)
        self._params: SamplingParams = sampling_params(request, DEFAULT_MAX_TOKENS)
        self._echoes = _echoes(request, self._prompts)
        options = request.stream_options
        self._include_usage = bool(options and options.include_usage)
        self._id = new_id("cmpl")
        self._created = now()

    async def reply(self) -> bytes:
        """Run to the end and return the reply."""
        tally = Tally(len(self._prompts))
        async with aclosing(self._pieces()) as pieces:
            async for index, piece in pieces:
                tally.count(index, piece)
                tally.texts[index].append(piece.text)
        choices = [
            Choice(
                index=index,
                text="".join((echo, *texts)),
                finish_reason=tally.finish[index],
            )
            for index, (echo, texts) in enumerate(
                zip(self._echoes, tally.texts, strict=True)
            )
        ]
        return encode(self._completion(choices, tally.usage()))

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield an event per piece, then the usage if asked for, then the end."""
        usage = None if self._include_usage else msgspec.UNSET
        tally = Tally(len(self._prompts))
        echoes = list(self._echoes)
        async with aclosing(self._pieces()) as pieces:
            async for index, piece in pieces:
                finish = tally.count(index, piece)
                text = echoes[index] + piece.text
                echoes[index] = ""
                choice = Choice(index=index, text=text, finish_reason=finish)
                yield event(self._completion([choice], usage))
        if self._include_usage:
            yield event(self._completion([], tally.usage()))
        yield DONE

    def _pieces(self) -> Pieces:
        return generate_all(self._engine, self._prompts, self._params, self._id)

    def _completion(
        self, choices: list[Choice], usage: Usage | msgspec.UnsetType | None
    ) -> Completion:
        return Completion(
            id=self._id,
            created=self._created,
            model=self._engine.model_name,
            choices=choices,
            usage=usage,
        )


def _echoes(request: CompletionRequest, prompts: list[str | list[int]]) -> list[str]:
    if not request.echo:
        return [""] * len(prompts)
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    if len(texts) < len(prompts):
        msg = "echo needs prompts given as text"
        raise RequestError(msg, code="unsupported_value", param="echo")
    return texts
