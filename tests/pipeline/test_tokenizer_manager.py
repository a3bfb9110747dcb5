"""The caller's side, with the test in place of the processes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from tests.pipeline.conditions import collect, until
from tokenizers import Tokenizer

from busduct.errors import ClosedError
from busduct.pipeline import PortArgs, SamplingParams, TokenizerManager
from busduct.pipeline.messages import (
    AbortReq,
    BatchStrOutput,
    PingReq,
    PongRes,
    ReadyRes,
    ResetReq,
    TokenizedGenerateReqInput,
    decode_scheduler_input,
    encode,
)
from busduct.transport import PULL, PUSH, Context, Socket, get_zmq_socket

PARAMS = SamplingParams()


class Processes:
    """What the scheduler gets and the detokenizer says."""

    def __init__(self, manager: TokenizerManager, inbox: Socket, text: Socket) -> None:
        self.manager = manager
        self.ready: list[ReadyRes] = []
        self.pongs: list[PongRes] = []
        self._inbox = inbox
        self._text = text

    async def get(self) -> object:
        return decode_scheduler_input(await self._inbox.recv())

    async def get_request(self) -> TokenizedGenerateReqInput:
        message = await self.get()
        assert isinstance(message, TokenizedGenerateReqInput)
        return message

    async def say(self, message: msgspec.Struct) -> None:
        await self._text.send(encode(message))

    async def say_text(
        self, rid: str, text: str, *, epoch: int = 0, end: bool = False
    ) -> None:
        reason = "stop" if end else None
        tokens = [list(text.encode())]
        await self.say(BatchStrOutput([rid], epoch, [text], tokens, [reason], [1], [1]))


@asynccontextmanager
async def processes(
    ipc_dir: Path, tokenizer: Tokenizer, max_queued: int = 100
) -> AsyncIterator[Processes]:
    ports = PortArgs(str(ipc_dir), *(f"ipc://{ipc_dir}/{name}" for name in "tsd"))
    ready: list[ReadyRes] = []
    pongs: list[PongRes] = []
    async with Context() as context:
        inbox = get_zmq_socket(context, PULL, ports.scheduler_input_ipc_name, bind=True)
        manager = TokenizerManager(
            ports,
            tokenizer,
            context,
            max_queued=max_queued,
            on_ready=ready.append,
            on_pong=pongs.append,
            on_request=lambda: None,
            on_broken=lambda _: None,
        )
        manager.context_length, manager.vocab_size = 64, 257
        text = get_zmq_socket(context, PUSH, ports.tokenizer_ipc_name, bind=False)
        played = Processes(manager, inbox, text)
        played.ready, played.pongs = ready, pongs
        yield played
        await manager.aclose()


async def test_text_of_an_earlier_epoch_is_ignored(
    ipc_dir: Path, byte_tokenizer: Tokenizer
) -> None:
    async with processes(ipc_dir, byte_tokenizer) as played:
        played.manager.fail_all(lambda: ClosedError("engine"))
        assert await played.get() == ResetReq(1)
        running = asyncio.create_task(
            collect(played.manager.generate("a", PARAMS, None))
        )
        request = await played.get_request()
        assert request.epoch == 1
        await played.say_text(request.rid, "stale", epoch=0, end=True)
        await played.say_text(request.rid, "fresh", epoch=1, end=True)
        assert [output.text for output in await running] == ["fresh"]


async def test_late_text_does_not_reach_the_next_request_of_that_id(
    ipc_dir: Path, byte_tokenizer: Tokenizer
) -> None:
    async with processes(ipc_dir, byte_tokenizer) as played:
        first = played.manager.generate("a", PARAMS, "same")
        waiting = asyncio.create_task(anext(first))
        old = await played.get_request()
        await played.say_text(old.rid, "one")
        await waiting
        await first.aclose()
        assert await played.get() == AbortReq(old.rid)
        second = asyncio.create_task(
            collect(played.manager.generate("a", PARAMS, "same"))
        )
        new = await played.get_request()
        assert new.rid != old.rid
        await played.say_text(old.rid, "late", end=True)
        await played.say_text(new.rid, "two", end=True)
        assert [output.text for output in await second] == ["two"]


async def test_text_before_an_error_is_handed_out_first(
    ipc_dir: Path, byte_tokenizer: Tokenizer
) -> None:
    async with processes(ipc_dir, byte_tokenizer) as played:
        stream = played.manager.generate("a", PARAMS, None)
        waiting = asyncio.create_task(anext(stream))
        request = await played.get_request()
        await played.say_text(request.rid, "one")
        assert (await waiting).text == "one"
        await played.say_text(request.rid, "two")
        await played.say(ReadyRes("scheduler", 1))
        await until(lambda: bool(played.ready))
        played.manager.fail_all(lambda: ClosedError("engine"))
        seen = []
        try:
            async for output in stream:
                seen.append(output.text)
        except ClosedError:
            seen.append("closed")
        assert seen == ["two", "closed"]


async def test_aborts_beyond_the_queue_are_sent_when_there_is_room(
    ipc_dir: Path, byte_tokenizer: Tokenizer
) -> None:
    async with processes(ipc_dir, byte_tokenizer, max_queued=1) as played:
        stream = played.manager.generate("a", PARAMS, "mine")
        waiting = asyncio.create_task(anext(stream))
        request = await played.get_request()
        for _ in range(50):
            played.manager.abort("mine")
        for _ in range(50):
            assert await played.get() == AbortReq(request.rid)
        await played.say_text(request.rid, "", end=True)
        await waiting


async def test_ping_is_asked_and_its_answer_told(
    ipc_dir: Path, byte_tokenizer: Tokenizer
) -> None:
    async with processes(ipc_dir, byte_tokenizer) as played:
        played.manager.ping(5)
        assert await played.get() == PingReq(5)
        await played.say(PongRes("scheduler", 5))
        await until(lambda: played.pongs == [PongRes("scheduler", 5)])


async def test_malformed_answers_are_counted(
    ipc_dir: Path, byte_tokenizer: Tokenizer
) -> None:
    async with processes(ipc_dir, byte_tokenizer) as played:
        for _ in range(3):
            await played._text.send(b"\xc1")
        await until(lambda: played.manager.num_malformed == 3)
