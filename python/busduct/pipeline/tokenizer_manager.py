"""The caller's side of an engine: requests out as tokens, their text back."""

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from busduct.errors import (
    BusductError,
    ClosedError,
    FullError,
    RequestError,
    WorkerError,
)
from busduct.pipeline._malformed import MalformedMessages
from busduct.pipeline._outbox import RECONNECT_MAX
from busduct.pipeline._running_request import RunningRequest
from busduct.pipeline._types import GenerateOutput, SamplingParams
from busduct.pipeline.messages import (
    AbortReq,
    BatchStrOutput,
    PingReq,
    PongRes,
    ReadyRes,
    RequestFailed,
    ResetReq,
    TokenizedGenerateReqInput,
    decode_tokenizer_input,
    encode,
)
from busduct.pipeline.port_args import PortArgs
from busduct.transport import PULL, PUSH, Context, get_zmq_socket

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TokenizerManager"]

_log = logging.getLogger("busduct.pipeline.tokenizer")

MAX_RID_CHARS = 128


class TokenizerManager:
    """Send requests to the scheduler and hand out the text that comes back.

    Belongs to the running loop. Never waits for room: a request that the socket does
    not take is refused as ``"overloaded"``.

    Args:
        ports: Where to bind and to connect.
        tokenizer: Of the model.
        context: Owns the sockets; closed by its owner.
        max_queued: Requests that wait in the socket.
        on_ready: Called for each process that reports ready.
        on_pong: Called for each answer to `ping`.
        on_request: Called when a request was sent.
        on_broken: Called if nothing can be received any more.
    """

    def __init__(
        self,
        ports: PortArgs,
        tokenizer: "Tokenizer",
        context: Context,
        *,
        max_queued: int,
        on_ready: Callable[[ReadyRes], None],
        on_pong: Callable[[PongRes], None],
        on_request: Callable[[], None],
        on_broken: Callable[[BaseException], None],
    ) -> None:
        self.tokenizer = tokenizer
        self.context_length = 0
        self.vocab_size = 0
        self.epoch = 0
        self._on_ready = on_ready
        self._on_pong = on_pong
        self._on_request = on_request
        self._on_broken = on_broken
        self._requests: dict[str, RunningRequest] = {}
        self._wire_rids: dict[str, str] = {}
        self._numbers = itertools.count()
        self._idle = asyncio.Event()
        self._idle.set()
        self._malformed = MalformedMessages(_log)
        self._sends: set[asyncio.Task[None]] = set()
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        self._longest_token = max(len(token.encode()) for token in vocabulary)
        self._input = get_zmq_socket(context, PULL, ports.tokenizer_ipc_name, bind=True)
        self._output = get_zmq_socket(
            context,
            PUSH,
            ports.scheduler_input_ipc_name,
            bind=False,
            hwm_messages=max_queued,
            linger=0.0,
            reconnect_max=RECONNECT_MAX,
        )
        self._receiver = asyncio.create_task(self._receive(), name="busduct-tokenizer")
        self._receiver.add_done_callback(self._on_receiver_done)

    @property
    def num_running(self) -> int:
        """Requests that have not ended."""
        return len(self._requests)

    @property
    def num_malformed(self) -> int:
        """Messages that came and did not decode."""
        return self._malformed.count

    async def generate(
        self, prompt: str | Sequence[int], params: SamplingParams, rid: str | None
    ) -> AsyncGenerator[GenerateOutput, None]:
        """Stream one request; see `Engine.generate`."""
        request = self._submit(self._tokenize(prompt), params, rid)
        try:
            while True:
                await request.wake.wait()
                output = request.take()
                if output is None:
                    continue
                yield output
                if output.finish_reason is not None:
                    return
        finally:
            if not request.ended:
                self._send_later(AbortReq(request.wire_rid))
            self._forget(request)

    def abort(self, rid: str) -> None:
        """Ask the scheduler to end a request; an unknown id is ignored."""
        if (wire_rid := self._wire_rids.get(rid)) is not None:
            self._send_later(AbortReq(wire_rid))

    def ping(self, number: int) -> None:
        """Ask both processes for a sign of life."""
        self._send_later(PingReq(number))

    def fail_all(self, make_error: Callable[[], BusductError]) -> None:
        """End every request with an error of its own, here and in the scheduler."""
        self.epoch += 1
        self._end_all(make_error)
        self._send_later(ResetReq(self.epoch))

    async def wait_idle(self) -> None:
        """Wait until no request runs."""
        await self._idle.wait()

    async def aclose(self) -> None:
        """End what runs with `ClosedError` and close the sockets. Idempotent."""
        self.close()
        tasks = [self._receiver, *self._sends]
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Do as `aclose`, without waiting for the tasks that it cancels."""
        for task in [self._receiver, *self._sends]:
            task.cancel()
        self._end_all(lambda: ClosedError("engine"))
        self._input.close()
        self._output.close()

    def _tokenize(self, prompt: str | Sequence[int]) -> list[int]:
        if not isinstance(prompt, str):
            return self._check_tokens(prompt)
        try:
            nbytes = len(prompt.encode())
        except UnicodeEncodeError as error:
            raise _invalid("prompt is not valid Unicode", "prompt") from error
        # What cannot fit is not worth tokenizing, which blocks the loop.
        if nbytes >= self.context_length * self._longest_token:
            raise self._too_long(f"prompt of {nbytes} bytes")
        # The model's own beginning, where its tokenizer has one, is part of the prompt.
        encoding = self.tokenizer.encode(prompt, add_special_tokens=bool(prompt))
        return self._check_tokens(encoding.ids)

    def _check_tokens(self, tokens: Sequence[int]) -> list[int]:
        if len(tokens) >= self.context_length:
            raise self._too_long(f"prompt of {len(tokens)} tokens")
        if not tokens:
            raise _invalid("prompt is empty", "prompt")
        for token in tokens:
            # bool is an int to Python, but not on the wire.
            if type(token) is not int or not 0 <= token < self.vocab_size:
                msg = f"token id {token!r} is not in 0 to {self.vocab_size - 1}"
                raise _invalid(msg, "prompt")
        return list(tokens)

    def _too_long(self, what: str) -> RequestError:
        limit = self.context_length - 1
        text = f"{what} exceeds limit of {limit} tokens"
        return RequestError(text, code="context_length_exceeded", param="prompt")

    def _submit(
        self, tokens: list[int], params: SamplingParams, rid: str | None
    ) -> RunningRequest:
        number = next(self._numbers)
        rid = f"request-{number}" if rid is None else rid
        if not 0 < len(rid) <= MAX_RID_CHARS or not rid.isprintable():
            msg = f"rid must be 1 to {MAX_RID_CHARS} printable characters"
            raise _invalid(msg, "rid")
        if rid in self._wire_rids:
            msg = f"request {rid!r} is running already"
            raise RequestError(msg, code="duplicate_rid", param="rid")
        # The number keeps late messages about an ended request from the next of its id.
        request = RunningRequest(rid, f"{rid}#{number}")
        message = TokenizedGenerateReqInput(
            request.wire_rid, self.epoch, tokens, params
        )
        try:
            self._output.send_nowait(encode(message))
        except FullError as error:
            msg = "the engine has too many requests"
            raise RequestError(msg, code="overloaded") from error
        self._requests[request.wire_rid] = request
        self._wire_rids[rid] = request.wire_rid
        self._idle.clear()
        self._on_request()
        return request

    def _forget(self, request: RunningRequest) -> None:
        if self._requests.pop(request.wire_rid, None) is not None:
            del self._wire_rids[request.rid]
        if not self._requests:
            self._idle.set()

    def _end_all(self, make_error: Callable[[], BusductError]) -> None:
        for request in list(self._requests.values()):
            self._end(request, make_error())

    def _end(self, request: RunningRequest, error: BusductError | None = None) -> None:
        request.error = error
        request.wake.set()
        self._forget(request)

    def _send_later(self, message: AbortReq | ResetReq | PingReq) -> None:
        data = encode(message)
        try:
            self._output.send_nowait(data)
        except FullError:
            task = asyncio.create_task(self._send(data), name="busduct-send")
            self._sends.add(task)
            task.add_done_callback(self._sends.discard)

    async def _send(self, data: bytes) -> None:
        await self._output.send(data)

    async def _receive(self) -> None:
        while True:
            for data in await self._input.recv_many():
                self._handle(data)

    def _on_receiver_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("cannot receive any more", exc_info=error)
            self._on_broken(error)

    def _handle(self, data: bytes) -> None:
        try:
            message = decode_tokenizer_input(data)
        except msgspec.DecodeError as error:
            for rid in self._malformed.note(data, error):
                self._fail(rid, "internal_error", "malformed answer")
                self._send_later(AbortReq(rid))
            return
        if isinstance(message, ReadyRes):
            self._on_ready(message)
        elif isinstance(message, PongRes):
            self._on_pong(message)
        elif message.epoch != self.epoch:
            return
        elif isinstance(message, RequestFailed):
            self._fail(message.rid, message.code, message.message)
        else:
            self._handle_text(message)

    def _handle_text(self, batch: BatchStrOutput) -> None:
        for index, rid in enumerate(batch.rids):
            request = self._requests.get(rid)
            if request is None:
                continue
            request.text += batch.output_strs[index]
            request.token_ids += batch.output_ids[index]
            request.finish_reason = batch.finish_reasons[index]
            request.prompt_tokens = batch.prompt_tokens[index]
            request.completion_tokens = batch.completion_tokens[index]
            request.wake.set()
            if request.ended:
                self._end(request)

    def _fail(self, wire_rid: str, code: str, text: str) -> None:
        if (request := self._requests.get(wire_rid)) is not None:
            self._end(request, _failure(code, text))


def _invalid(text: str, param: str) -> RequestError:
    return RequestError(text, code="invalid_value", param=param)


def _failure(code: str, text: str) -> BusductError:
    if code == "internal_error":
        return WorkerError(text)
    return RequestError(text, code=code)
