"""``POST /v1/chat/completions``."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from busduct.errors import RequestError
from busduct.pipeline.embedded import render_chat
from busduct.server._engine import TextEngine
from busduct.server._generation import Pieces, Tally, generate_all
from busduct.server._replies import (
    DONE,
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatCompletion,
    ChatDelta,
    ChatReplyMessage,
    Usage,
    encode,
    event,
    new_id,
    now,
)
from busduct.server._requests import ChatRequest, chat_messages, sampling_params

__all__ = ["ChatJob"]


class ChatJob:
    """One chat request, checked and ready to run."""

    def __init__(self, engine: TextEngine, request: ChatRequest) -> None:
        """Check `request`.

        Raises:
            RequestError: What cannot be served, with the field at fault.
        """
        self._engine = engine
        self._prompt = render_chat(chat_messages(request))
        # The rest of the context, as OpenAI has it: generation ends there by itself.
        self._params = sampling_params(request, engine.context_length)
        options = request.stream_options
        self._include_usage = bool(options and options.include_usage)
        self._id = new_id("chatcmpl")
        self._created = now()

    async def reply(self) -> bytes:
        """Run to the end and return the reply."""
        tally = Tally(1)
        async with aclosing(self._pieces()) as pieces:
            async for index, piece in pieces:
                tally.count(index, piece)
                tally.texts[index].append(piece.text)
        message = ChatReplyMessage(content="".join(tally.texts[0]))
        completion = ChatCompletion(
            id=self._id,
            created=self._created,
            model=self._engine.model_name,
            choices=[ChatChoice(message=message, finish_reason=tally.finish[0])],
            usage=tally.usage(),
        )
        return encode(completion)

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield the role, an event per piece, the usage if asked for, and the end."""
        usage = None if self._include_usage else msgspec.UNSET
        tally = Tally(1)
        opening = event(
            self._chunk(
                [ChatChunkChoice(delta=ChatDelta(role="assistant", content=""))], usage
            )
        )
        async with aclosing(self._pieces()) as pieces:
            async for index, piece in pieces:
                finish = tally.count(index, piece)
                choice = ChatChunkChoice(
                    delta=ChatDelta(content=piece.text), finish_reason=finish
                )
                yield opening + event(self._chunk([choice], usage))
                opening = b""
        if self._include_usage:
            yield event(self._chunk([], tally.usage()))
        yield DONE

    async def _pieces(self) -> Pieces:
        pieces = generate_all(self._engine, [self._prompt], self._params, self._id)
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    yield piece
        except RequestError as error:
            # The engine speaks of a prompt; this client has sent messages.
            if error.param != "prompt":
                raise
            message = str(error)
            raise RequestError(message, code=error.code, param="messages") from error

    def _chunk(
        self,
        choices: list[ChatChunkChoice],
        usage: Usage | msgspec.UnsetType | None,
    ) -> ChatChunk:
        return ChatChunk(
            id=self._id,
            created=self._created,
            model=self._engine.model_name,
            choices=choices,
            usage=usage,
        )
