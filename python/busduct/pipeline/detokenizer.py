"""The process that turns tokens into text."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from busduct.pipeline._incremental import IncrementalDecoder, StopMatcher
from busduct.pipeline._malformed import MalformedMessages
from busduct.pipeline._outbox import Outbox
from busduct.pipeline._parking import Parking
from busduct.pipeline._types import FinishReason
from busduct.pipeline.messages import (
    BatchStrOutput,
    BatchTokenIDOutput,
    DetokenizerInput,
    PingReq,
    PongRes,
    ReadyRes,
    RequestFailed,
    StopReq,
    decode_detokenizer_input,
)
from busduct.pipeline.port_args import PortArgs
from busduct.transport import PULL, Context, get_zmq_socket

__all__ = ["DetokenizerManager"]

_log = logging.getLogger("busduct.pipeline.detokenizer")

RECV_PER_TURN = 256


@dataclass(slots=True)
class _Stream:
    """The text of one request as it grows."""

    decoder: IncrementalDecoder
    matcher: StopMatcher
    held_ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Piece:
    """What one request has to tell since the last message to the tokenizer."""

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class DetokenizerManager:
    """Decode what the scheduler sends and look for stop strings.

    Synchronous: belongs to a process without an event loop. While the tokenizer takes
    no more, nothing is read, and so the scheduler pauses.

    Args:
        ports: Where to bind and to connect.
        token_table: The bytes of every token.
        context: Owns the sockets; closed by its owner.
        epoch: Messages of earlier ones are ignored.
    """

    def __init__(
        self,
        ports: PortArgs,
        token_table: Sequence[bytes],
        context: Context,
        epoch: int = 0,
    ) -> None:
        self._context = context
        self._table = token_table
        self._epoch = epoch
        self._streams: dict[str, _Stream] = {}
        self._malformed = MalformedMessages(_log)
        self._input = get_zmq_socket(
            context, PULL, ports.detokenizer_ipc_name, bind=True
        )
        self._output = Outbox.connect(context, ports.tokenizer_ipc_name)
        self._scheduler = Outbox.connect(context, ports.scheduler_input_ipc_name)

    def report_ready(self, generation: int) -> None:
        """Tell the tokenizer that text will come."""
        self._output.send(ReadyRes("detokenizer", generation))

    def event_loop(self, parking: Parking) -> None:
        """Serve until `parking` says to end and no request is under way."""
        while True:
            self._context.run_once(0.0)
            self._scheduler.flush()
            self._output.flush()
            messages = [] if self._output.blocked else self.recv_tokens()
            self.process_batches(messages)
            if messages:
                continue
            if parking.ending and not self._streams and not self._output.blocked:
                return
            parking.wait(self._output.connected and self._scheduler.connected)

    def recv_tokens(self) -> list[DetokenizerInput]:
        """Take the messages that are there, without waiting, 256 at most."""
        messages: list[DetokenizerInput] = []
        for data in self._input.recv_many_nowait(RECV_PER_TURN):
            try:
                messages.append(decode_detokenizer_input(data))
            except msgspec.DecodeError as error:
                for rid in self._malformed.note(data, error):
                    messages.append(self._malformed_failure(rid))
        return messages

    def process_batches(self, messages: Iterable[DetokenizerInput]) -> None:
        """Decode, and send the text on in one message per run of batches."""
        pieces: dict[str, _Piece] = {}
        for message in messages:
            if isinstance(message, PingReq):
                self._output.send(PongRes("detokenizer", message.number))
                continue
            if message.epoch < self._epoch:
                continue
            self._reset(message.epoch, pieces)
            if isinstance(message, BatchTokenIDOutput):
                self._process_batch(message, pieces)
            elif isinstance(message, RequestFailed):
                self._send(pieces)
                self._fail(message)
        self._send(pieces)

    def close(self) -> None:
        """Close the sockets; what is queued still goes out."""
        self._input.close()
        self._output.close()
        self._scheduler.close()

    def _malformed_failure(self, rid: str) -> RequestFailed:
        self._scheduler.send(StopReq(rid))
        return RequestFailed(rid, self._epoch, "internal_error", "malformed tokens")

    def _reset(self, epoch: int, pieces: dict[str, _Piece]) -> None:
        if epoch > self._epoch:
            self._epoch = epoch
            self._streams.clear()
            pieces.clear()

    def _fail(self, message: RequestFailed) -> None:
        self._streams.pop(message.rid, None)
        self._output.send(message)

    def _process_batch(
        self, batch: BatchTokenIDOutput, pieces: dict[str, _Piece]
    ) -> None:
        for index, rid in enumerate(batch.rids):
            stops = batch.stops[index]
            if stops is not None:
                self._streams[rid] = _Stream(
                    IncrementalDecoder(self._table), StopMatcher(stops)
                )
            # Tokens that were under way when a stop string ended their request.
            if rid not in self._streams:
                continue
            piece = pieces.setdefault(rid, _Piece())
            piece.prompt_tokens = batch.prompt_tokens[index]
            piece.completion_tokens = batch.completion_tokens[index]
            self._extend(
                rid, piece, batch.output_ids[index], batch.finish_reasons[index]
            )

    def _extend(
        self,
        rid: str,
        piece: _Piece,
        token_ids: list[int],
        finish_reason: FinishReason | None,
    ) -> None:
        stream = self._streams[rid]
        stream.held_ids += token_ids
        text = stream.decoder.feed(token_ids)
        if finish_reason is not None:
            text += stream.decoder.flush()
        text, stopped = stream.matcher.feed(text)
        if stopped:
            if finish_reason is None:
                self._scheduler.send(StopReq(rid))
            finish_reason = "stop"
        elif finish_reason is not None:
            text += stream.matcher.flush()
        if text or finish_reason is not None:
            piece.text += text
            piece.token_ids += stream.held_ids
            piece.finish_reason = finish_reason
            stream.held_ids = []
        if finish_reason is not None:
            del self._streams[rid]

    def _send(self, pieces: dict[str, _Piece]) -> None:
        told = {
            rid: piece
            for rid, piece in pieces.items()
            if piece.text or piece.finish_reason is not None
        }
        pieces.clear()
        if not told:
            return
        values = told.values()
        self._output.send(
            BatchStrOutput(
                rids=list(told),
                epoch=self._epoch,
                output_strs=[piece.text for piece in values],
                output_ids=[piece.token_ids for piece in values],
                finish_reasons=[piece.finish_reason for piece in values],
                prompt_tokens=[piece.prompt_tokens for piece in values],
                completion_tokens=[piece.completion_tokens for piece in values],
            )
        )
