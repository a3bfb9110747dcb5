"""The process that runs the model: requests in, tokens out, one batch a step."""

import logging
import secrets
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from busduct.pipeline._batching import ActiveRequest, Batcher, ScheduledStep
from busduct.pipeline._malformed import MalformedMessages
from busduct.pipeline._outbox import Outbox
from busduct.pipeline._parking import Parking
from busduct.pipeline._types import EngineConfig, FinishReason
from busduct.pipeline.messages import (
    AbortReq,
    BatchTokenIDOutput,
    PingReq,
    PongRes,
    ReadyRes,
    RequestFailed,
    ResetReq,
    SchedulerInput,
    StopReq,
    TokenizedGenerateReqInput,
    decode_scheduler_input,
)
from busduct.pipeline.port_args import PortArgs
from busduct.pipeline.runners import ModelRunner, SequenceStep
from busduct.pipeline.sampling import make_generator, sample
from busduct.transport import PULL, Context, get_zmq_socket

__all__ = ["Scheduler"]

_log = logging.getLogger("busduct.pipeline.scheduler")

RECV_PER_STEP = 256
MAX_WAITING_ANSWERS = 1024


class Scheduler:
    """Continuous batching of one model.

    Synchronous: belongs to a process without an event loop. A step that raises ends the
    requests in it and nothing else. While the detokenizer takes no more, none is run.

    Args:
        config: Limits of the batch and of the queue.
        ports: Where to bind and to connect.
        runner: The model; closed by its owner.
        context: Owns the sockets; closed by its owner.
        epoch: Requests of earlier ones are ignored.
    """

    def __init__(
        self,
        config: EngineConfig,
        ports: PortArgs,
        runner: ModelRunner,
        context: Context,
        epoch: int = 0,
    ) -> None:
        self._runner = runner
        self._context = context
        self._epoch = epoch
        self._seed = secrets.randbits(64) if config.seed is None else config.seed
        self._num_requests = 0
        self._batcher = Batcher(
            max_batch_size=min(config.max_batch_size, runner.max_batch_size),
            max_batch_tokens=config.max_batch_tokens,
            max_waiting=config.max_waiting,
            context_length=runner.context_length,
            eos_token_id=runner.eos_token_id,
        )
        self._malformed = MalformedMessages(_log)
        self._input = get_zmq_socket(
            context, PULL, ports.scheduler_input_ipc_name, bind=True
        )
        self._output = Outbox.connect(context, ports.detokenizer_ipc_name)
        self._control = Outbox.connect(context, ports.tokenizer_ipc_name)
        self._output.send(ResetReq(epoch))

    def report_ready(self, generation: int) -> None:
        """Tell the tokenizer that requests are welcome."""
        self._control.send(
            ReadyRes(
                "scheduler",
                generation,
                self._runner.vocab_size,
                self._runner.context_length,
            )
        )

    def event_loop(self, parking: Parking) -> None:
        """Serve until `parking` says to end and nothing is under way."""
        while True:
            self._context.run_once(0.0)
            self._output.flush()
            self._control.flush()
            requests = self.recv_requests()
            self.process_input_requests(requests)
            if self.run_step() or requests:
                continue
            if parking.ending and not self._batcher and not self._output.blocked:
                return
            parking.wait(self._output.connected and self._control.connected)

    def recv_requests(self) -> list[SchedulerInput]:
        """Take the messages that are there, without waiting, 256 at most.

        None are taken while many answers wait for the detokenizer: each message may
        make one more.
        """
        messages: list[SchedulerInput] = []
        if len(self._output) >= MAX_WAITING_ANSWERS:
            return messages
        for data in self._input.recv_many_nowait(RECV_PER_STEP):
            try:
                messages.append(decode_scheduler_input(data))
            except msgspec.DecodeError as error:
                self._drop_malformed(data, error)
        return messages

    def process_input_requests(self, messages: Sequence[SchedulerInput]) -> None:
        """Do what the messages ask."""
        for message in messages:
            match message:
                case TokenizedGenerateReqInput():
                    self._add_request(message)
                case AbortReq():
                    self._abort_request(message.rid)
                case StopReq():
                    self._forget_request(message.rid)
                case ResetReq():
                    self._reset(message.epoch)
                case PingReq():
                    self._control.send(PongRes("scheduler", message.number))
                    self._output.send(message)

    def run_step(self) -> bool:
        """Run one batch, if there is one and room for its result; return whether."""
        if self._output.blocked:
            return False
        batch = self._batcher.next_batch()
        if not batch:
            return False
        steps = [
            SequenceStep(step.request.slot, step.token_ids, step.request.num_computed)
            for step in batch
        ]
        try:
            logits = self._runner.forward(steps)
        except Exception:
            _log.exception("the model failed on a batch of %d requests", len(batch))
            for step in batch:
                self._fail_request(step.request.rid, "internal_error", "model failed")
            return True
        self.process_batch_result(batch, logits)
        return True

    def process_batch_result(
        self, batch: Sequence[ScheduledStep], logits: npt.NDArray[np.float32]
    ) -> None:
        """Sample from one step's logits, and send the tokens on.

        Args:
            batch: The parts of the step.
            logits: Shape (parts, vocabulary), of each part's last token.
        """
        rows = [row for row, step in enumerate(batch) if step.completes]
        sampled = iter(
            sample(
                logits[rows],
                [batch[row].request.params for row in rows],
                [batch[row].request.generator for row in rows],
            ).tolist()
            if rows
            else ()
        )
        ended: list[tuple[ActiveRequest, FinishReason | None]] = []
        for step in batch:
            token = next(sampled) if step.completes else None
            if token is not None and token < 0:
                rid = step.request.rid
                self._fail_request(rid, "internal_error", "model gave no number")
                continue
            reason = self._batcher.commit(step, token)
            if token is not None:
                ended.append((step.request, reason))
        self._send_tokens(ended)

    def close(self) -> None:
        """Close the sockets; what they took still goes out."""
        self._input.close()
        self._output.close()
        self._control.close()

    def _add_request(self, message: TokenizedGenerateReqInput) -> None:
        if message.epoch < self._epoch:
            return
        self._reset(message.epoch)
        rid, tokens = message.rid, message.input_ids
        if rid in self._batcher:
            _log.warning("request %s is here already; ignoring the second", rid)
            return
        limit = self._runner.context_length
        if not 0 < len(tokens) < limit:
            text = f"prompt of {len(tokens)} tokens exceeds limit of {limit - 1}"
            self._send_failure(rid, "context_length_exceeded", text)
            return
        if not 0 <= min(tokens) <= max(tokens) < self._runner.vocab_size:
            self._send_failure(rid, "invalid_value", "token id out of the vocabulary")
            return
        self._num_requests += 1
        seed = message.sampling_params.seed
        generator = make_generator(seed, (self._seed, self._epoch, self._num_requests))
        request = ActiveRequest(rid, tokens, message.sampling_params, generator)
        if not self._batcher.add(request):
            text = f"queue of {self._batcher.max_waiting} requests is full"
            self._send_failure(rid, "overloaded", text)

    def _abort_request(self, rid: str) -> None:
        if (request := self._forget_request(rid)) is not None:
            self._send_tokens([(request, "abort")], aborted=True)

    def _forget_request(self, rid: str) -> ActiveRequest | None:
        request = self._batcher.remove(rid)
        if request is not None and request.slot >= 0:
            self._runner.release(request.slot)
        return request

    def _reset(self, epoch: int) -> None:
        if epoch <= self._epoch:
            return
        self._epoch = epoch
        for rid in [*self._batcher.running, *self._batcher.waiting]:
            self._forget_request(rid)
        self._output.send(ResetReq(epoch))

    def _fail_request(self, rid: str, code: str, text: str) -> None:
        self._forget_request(rid)
        self._send_failure(rid, code, text)

    def _send_failure(self, rid: str, code: str, text: str) -> None:
        self._output.send(RequestFailed(rid, self._epoch, code, text))

    def _send_tokens(
        self,
        results: Sequence[tuple[ActiveRequest, FinishReason | None]],
        aborted: bool = False,
    ) -> None:
        if not results:
            return
        requests = [request for request, _ in results]
        self._output.send(
            BatchTokenIDOutput(
                rids=[request.rid for request in requests],
                epoch=self._epoch,
                output_ids=[[] if aborted else r.token_ids[-1:] for r in requests],
                finish_reasons=[reason for _, reason in results],
                prompt_tokens=[request.prompt_tokens for request in requests],
                completion_tokens=[request.completion_tokens for request in requests],
                stops=[None if r.announced else r.params.stop for r in requests],
            )
        )
        for request, reason in results:
            request.announced = True
            if reason is not None:
                self._forget_request(request.rid)

    def _drop_malformed(self, data: bytes, error: Exception) -> None:
        for rid in self._malformed.note(data, error):
            self._fail_request(rid, "invalid_value", "malformed request")
