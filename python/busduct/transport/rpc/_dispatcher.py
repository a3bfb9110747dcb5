"""Run the calls that clients ask for, no more at once than allowed."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import msgspec

from busduct.transport.rpc._backlog import Backlog
from busduct.transport.rpc._call import Call
from busduct.transport.rpc._faults import Faults
from busduct.transport.rpc._limits import RpcLimits
from busduct.transport.rpc._methods import Method, MethodTable
from busduct.transport.rpc._replies import Replies
from busduct.transport.rpc._statistics import RpcServerStatistics
from busduct.transport.rpc._wire import (
    ErrorBody,
    Kind,
    Reply,
    decode_request,
    encode,
    unpack_header,
)

if TYPE_CHECKING:
    from busduct._core import Socket

__all__ = ["Dispatcher"]

_log = logging.getLogger("busduct.rpc")

_OVERLOADED = ErrorBody("OverloadedError", "too many calls wait at the server")
_CLOSING = ErrorBody("ClosedError", "the server is closing")
_MAX_NAME_SHOWN = 100


class Dispatcher:
    """Messages in, tasks and replies out.

    A plain function runs at once, on the loop; an asynchronous one in a task, or waits
    in the backlog. A client whose replies have to wait gets nothing started.
    """

    def __init__(
        self, socket: "Socket", methods: MethodTable, limits: RpcLimits, faults: Faults
    ) -> None:
        self._methods = methods
        self._limits = limits
        self._faults = faults
        self._backlog = Backlog(limits)
        self._replies = Replies(
            socket,
            limits.max_queued_per_client,
            on_full=self._backlog.pause,
            on_room=self._resume,
            on_lost=self.drop_client,
        )
        self._running: dict[bytes, dict[int, Call]] = {}
        self._num_running = 0
        self._num_requests = 0
        self._num_cancelled = 0
        self._num_overloaded = 0
        self._num_malformed = 0
        self._is_closing = False

    def on_message(self, client: bytes, frames: list[bytes]) -> None:
        """Do what a client asks for."""
        try:
            kind, request_id = unpack_header(frames[0])
            num_frames = 2 if kind is Kind.REQUEST else 1
            if kind is Kind.REPLY or len(frames) != num_frames:
                msg = f"{kind.name} of {len(frames)} frames"
                raise ValueError(msg)
        except ValueError as error:
            self._note_malformed(client, error)
            return
        if kind is Kind.CANCEL:
            self._cancel(client, request_id)
        else:
            self._on_request(client, request_id, frames[1])

    def drop_client(self, client: bytes) -> None:
        """End all calls of a client that is gone."""
        self._num_cancelled += len(self._backlog.remove_client(client))
        for call in self._running.get(client, {}).values():
            self._abandon(call)
        self._replies.forget(client)

    def statistics(self) -> RpcServerStatistics:
        """Return the counters."""
        return RpcServerStatistics(
            num_running=self._num_running,
            num_queued=self._backlog.num_queued,
            num_requests=self._num_requests,
            num_replies=self._replies.num_sent,
            num_replies_dropped=self._replies.num_dropped,
            num_cancelled=self._num_cancelled,
            num_overloaded=self._num_overloaded,
            num_internal_errors=self._faults.num_internal,
            num_malformed=self._num_malformed,
        )

    async def aclose(self, timeout: float) -> None:
        """Tell all callers that the server closes, and end what runs for them."""
        self._is_closing = True
        for call in self._backlog.remove_all():
            self._replies.refuse(call.client, call.request_id, _CLOSING)
        tasks = []
        for calls in self._running.values():
            for call in calls.values():
                if call.task is not None:
                    call.verdict = _CLOSING
                    call.task.cancel()
                    tasks.append(call.task)
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=timeout)
            if left:
                _log.warning("%d calls go on after being cancelled", len(left))
        await self._replies.aclose()

    def _on_request(self, client: bytes, request_id: int, body: bytes) -> None:
        self._num_requests += 1
        if self._is_known(client, request_id):
            # A reply would be taken for that of the first one.
            self._note_malformed(client, ValueError("request id is in use"))
            return
        try:
            request = decode_request(body)
        except msgspec.DecodeError as error:
            fault = ErrorBody.of("InvalidRequestError", str(error))
            self._replies.refuse(client, request_id, fault)
            return
        method = self._methods.get(request.method)
        if method is None:
            shown = request.method[:_MAX_NAME_SHOWN]
            fault = ErrorBody.of("UnknownMethodError", f"no method {shown!r}")
            self._replies.refuse(client, request_id, fault)
            return
        call = Call(client, request_id, method, request.parameters, len(body))
        self._admit(call)

    def _admit(self, call: Call) -> None:
        has_slot = not call.method.is_async or self._has_slot()
        if has_slot and not self._replies.is_full(call.client):
            self._start(call)
        elif not self._backlog.add(call):
            self._num_overloaded += 1
            self._replies.refuse(call.client, call.request_id, _OVERLOADED)

    def _has_slot(self) -> bool:
        return self._num_running < self._limits.max_running

    def _start(self, call: Call) -> None:
        if not call.method.is_async:
            self._replies.send(call.client, call.request_id, self._run_inline(call))
            return
        name = f"busduct rpc {call.method.name}"
        call.task = asyncio.create_task(self._run(call), name=name)
        self._running.setdefault(call.client, {})[call.request_id] = call
        self._num_running += 1
        # Not at the end of `_run`: a task that is cancelled before it began never
        # gets there.
        call.task.add_done_callback(lambda task: self._on_ended(call, task))

    def _start_waiting(self) -> None:
        while self._has_slot() and not self._is_closing:
            call = self._backlog.take()
            if call is None:
                return
            self._start(call)

    def _run_inline(self, call: Call) -> bytes:
        try:
            arguments = call.method.arguments(call.parameters)
        except msgspec.DecodeError as error:
            return _invalid_parameters(error)
        try:
            return _encode_result(call.method.function(**arguments))
        except Exception as error:
            return self._failure(call.method, error)

    async def _run(self, call: Call) -> bytes:
        try:
            arguments = call.method.arguments(call.parameters)
        except msgspec.DecodeError as error:
            return _invalid_parameters(error)
        try:
            async with asyncio.timeout(call.method.timeout) as deadline:
                result = await call.method.function(**arguments)
            return _encode_result(result)
        except TimeoutError as error:
            if not deadline.expired():
                return self._failure(call.method, error)
            text = (
                f"method {call.method.name} takes longer than {call.method.timeout} s"
            )
            return encode(Reply(error=ErrorBody("TimeoutError", text)))
        except Exception as error:
            return self._failure(call.method, error)

    def _on_ended(self, call: Call, task: asyncio.Task[bytes]) -> None:
        self._num_running -= 1
        calls = self._running[call.client]
        del calls[call.request_id]
        if not calls:
            del self._running[call.client]
        if not call.is_abandoned:
            self._replies.send(call.client, call.request_id, self._outcome(call, task))
        self._start_waiting()

    def _outcome(self, call: Call, task: asyncio.Task[bytes]) -> bytes:
        if not task.cancelled() and task.exception() is None:
            return task.result()
        if call.verdict is not None:
            return encode(Reply(error=call.verdict))
        error = None if task.cancelled() else task.exception()
        return self._failure(call.method, error or asyncio.CancelledError())

    def _failure(self, method: Method, error: BaseException) -> bytes:
        return encode(Reply(error=self._faults.describe(method.name, error)))

    def _is_known(self, client: bytes, request_id: int) -> bool:
        return request_id in self._running.get(client, ()) or self._backlog.has(
            client, request_id
        )

    def _cancel(self, client: bytes, request_id: int) -> None:
        if self._backlog.remove(client, request_id):
            self._num_cancelled += 1
        elif call := self._running.get(client, {}).get(request_id):
            self._abandon(call)

    def _abandon(self, call: Call) -> None:
        if call.task is not None and not call.is_abandoned:
            self._num_cancelled += 1
            call.is_abandoned = True
            call.task.cancel()

    def _resume(self, client: bytes) -> None:
        self._backlog.resume(client)
        self._start_waiting()

    def _note_malformed(self, client: bytes, error: Exception) -> None:
        self._num_malformed += 1
        # A flood of them floods no log.
        if self._num_malformed == 1:
            _log.warning("malformed message of client %s: %s", client.hex(), error)


def _invalid_parameters(error: msgspec.DecodeError) -> bytes:
    return encode(Reply(error=ErrorBody.of("InvalidParametersError", str(error))))


def _encode_result(result: Any) -> bytes:
    return encode(Reply(result=msgspec.Raw(encode(result))))
