"""Run the prompts of one HTTP request on the engine, and gather what they give."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeAlias

from busduct.errors import ClosedError
from busduct.pipeline import GenerateOutput, SamplingParams
from busduct.server._engine import TextEngine
from busduct.server._replies import Finish, Usage

__all__ = ["Pieces", "Tally", "generate_all"]

Pieces: TypeAlias = AsyncGenerator[tuple[int, GenerateOutput], None]
# What the readers of several prompts hand over: a piece, the end, or an error.
_Item: TypeAlias = tuple[int, GenerateOutput] | BaseException | None


class Tally:
    """Text, tokens and endings of a request's prompts."""

    def __init__(self, num_prompts: int) -> None:
        self.texts: list[list[str]] = [[] for _ in range(num_prompts)]
        self.finish: list[Finish | None] = [None] * num_prompts
        self._tokens = [(0, 0)] * num_prompts

    def count(self, index: int, output: GenerateOutput) -> Finish | None:
        """Take the tokens of a piece into account; return how its prompt ended.

        Raises:
            ClosedError: The request was aborted on this side.
        """
        self._tokens[index] = (output.prompt_tokens, output.completion_tokens)
        if output.finish_reason == "abort":
            raise ClosedError("request")
        self.finish[index] = output.finish_reason
        return output.finish_reason

    def usage(self) -> Usage:
        """Return the tokens of all prompts together."""
        prompt = sum(tokens for tokens, _ in self._tokens)
        completion = sum(tokens for _, tokens in self._tokens)
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=completion,
            total_tokens=prompt + completion,
        )


async def generate_all(
    engine: TextEngine,
    prompts: Sequence[str | list[int]],
    params: SamplingParams,
    rid: str,
) -> Pieces:
    """Yield the pieces of all prompts as they come, each with its prompt's index.

    Closing this generator aborts what still runs. Raises as `Engine.generate`; one
    prompt's error ends them all.
    """
    if len(prompts) == 1:
        async with aclosing(engine.generate(prompts[0], params, rid=rid)) as pieces:
            async for piece in pieces:
                yield 0, piece
        return
    items: asyncio.Queue[_Item] = asyncio.Queue(maxsize=len(prompts))
    readers = [
        asyncio.create_task(
            _read(index, engine.generate(prompt, params, rid=f"{rid}-{index}"), items),
            name=f"busduct-{rid}-{index}",
        )
        for index, prompt in enumerate(prompts)
    ]
    try:
        running = len(readers)
        while running:
            item = await items.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def _read(
    index: int,
    pieces: AsyncGenerator[GenerateOutput, None],
    items: asyncio.Queue[_Item],
) -> None:
    try:
        async with aclosing(pieces):
            async for piece in pieces:
                await items.put((index, piece))
    except Exception as error:
        await items.put(error)
    else:
        await items.put(None)
