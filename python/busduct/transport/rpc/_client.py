"""The face of a client of remote calls."""

import asyncio
import logging
import warnings
from collections.abc import Mapping
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

from busduct._scopes import AsyncScope
from busduct.errors import (
    BusductError,
    ClosedError,
    FullError,
    PeerLostError,
    WaitTimeoutError,
)
from busduct.transport._zmq import SocketOptions
from busduct.transport.rpc._link import Link
from busduct.transport.rpc._options import check_options, check_seconds
from busduct.transport.rpc._pending import PendingCalls
from busduct.transport.rpc._statistics import RpcClientStatistics
from busduct.transport.rpc._stub import RpcMethod, result_of
from busduct.transport.rpc._wire import (
    Kind,
    encode,
    make_decoder,
    pack_header,
    unpack_header,
)

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["RpcClient"]

T = TypeVar("T")

_log = logging.getLogger("busduct.rpc")
_any_decoder = make_decoder(Any)


class RpcClient(AsyncScope):
    """Call the methods of one server.

    Use it as an asynchronous context manager::

        async with RpcClient(context, "ipc:///run/user/1000/service.ipc") as client:
            total = await client.call("add", a=1, b=2)

    No call waits for ever for a server that is gone: when the connection ends, every
    call that waits ends with `PeerLostError`, whether or not it was carried out, and
    the client connects again for those to come. A call is sent to a server once at
    most.

    Args:
        context: Owns the sockets.
        endpoint: Of the server.
        timeout: Seconds that a call may take, unless it says otherwise; None for no
            bound.
        connect_timeout: Seconds that a call waits for a connection; None for no bound.
        max_pending: Calls that wait at once; more raise `FullError`.
        insecure: As of `Socket.connect`.
        **options: As of `Context.socket`, for the DEALER. With `heartbeat_interval` a
            server that is stopped, or cut off, counts as gone as well.

    Raises:
        ConfigError: Not an endpoint, or an option out of its range.
        ClosedError: The context is closed.
    """

    def __init__(
        self,
        context: "Context",
        endpoint: str,
        *,
        timeout: float | None = 60.0,
        connect_timeout: float | None = 10.0,
        max_pending: int = 1024,
        insecure: bool = False,
        **options: Unpack[SocketOptions],
    ) -> None:
        check_options(options)
        check_seconds("timeout", timeout)
        check_seconds("connect_timeout", connect_timeout)
        self._context = context
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._max_pending = max_pending
        self._pending = PendingCalls()
        self._is_closed = False
        self._running: asyncio.Task[None] | None = None
        self._num_calls = 0
        self._num_timeouts = 0
        self._num_lost = 0
        self._num_unexpected = 0
        self._num_malformed = 0
        self._link = Link(
            context,
            endpoint,
            insecure=insecure,
            options=options,
            on_message=self._on_message,
            on_lost=self._on_lost,
        )

    @property
    def endpoint(self) -> str:
        """Of the server."""
        return self._link.endpoint

    async def call(
        self,
        method: str,
        /,
        *,
        timeout: float | EllipsisType | None = ...,
        **parameters: Any,
    ) -> Any:
        """Call a method; return what it returned, as plain objects.

        Cancelling, as well as a timeout, cancels the call at the server. For a
        parameter named ``timeout``, or a typed result, use `method`.

        Args:
            method: Its name.
            timeout: Seconds instead of the client's own; None for no bound.
            **parameters: Whatever msgspec encodes.

        Raises:
            RemoteError: The call ended with an error at the server.
            WaitTimeoutError: It took too long.
            PeerLostError: The server is gone, or cannot be reached in time.
            FullError: Too many calls wait.
            FrameTooLargeError: The request is over `max_message_bytes`.
            RemoteProtocolError: The reply is malformed.
            ClosedError: The client, or its context, is closed.
            TypeError: A parameter cannot be encoded.
        """
        body = await self._request(method, parameters, timeout)
        return result_of(method, body, _any_decoder)

    @overload
    def method(
        self, name: str, *, timeout: float | EllipsisType | None = ...
    ) -> "RpcMethod[Any]": ...

    @overload
    def method(
        self,
        name: str,
        result_type: type[T],
        *,
        timeout: float | EllipsisType | None = ...,
    ) -> "RpcMethod[T]": ...

    def method(
        self,
        name: str,
        result_type: Any = Any,
        *,
        timeout: float | EllipsisType | None = ...,
    ) -> "RpcMethod[Any]":
        """Return a method as a function of its parameters.

        Args:
            name: As of `call`.
            result_type: What msgspec decodes the result as, strictly.
            timeout: As of `call`.

        Raises:
            TypeError: msgspec does not know the type.
        """
        return RpcMethod(self._request, name, result_type, timeout)

    def statistics(self) -> RpcClientStatistics:
        """Return the counters."""
        return RpcClientStatistics(
            num_pending=len(self._pending),
            num_calls=self._num_calls,
            num_timeouts=self._num_timeouts,
            num_cancels=self._link.num_cancels,
            num_lost=self._num_lost,
            num_unexpected=self._num_unexpected,
            num_malformed=self._num_malformed,
        )

    async def aclose(self) -> None:
        """Close; calls that wait end with `ClosedError`. Idempotent."""
        self._is_closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait({self._running})
        self._link.close()
        self._on_lost()

    async def _request(
        self,
        method: str,
        parameters: Mapping[str, Any],
        timeout: float | EllipsisType | None,
    ) -> bytes:
        self._check_ready()
        body = encode({"method": method, "parameters": parameters})
        seconds = self._timeout if isinstance(timeout, EllipsisType) else timeout
        check_seconds("timeout", seconds)
        self._num_calls += 1
        try:
            async with asyncio.timeout(seconds) as deadline:
                reply = await self._exchange(body)
        except TimeoutError:
            if seconds is None or not deadline.expired():
                raise
            self._num_timeouts += 1
            raise WaitTimeoutError(seconds) from None
        except PeerLostError:
            self._num_lost += 1
            raise
        return reply

    async def _exchange(self, body: bytes) -> bytes:
        """Send a request and wait for the body of its reply."""
        request_id, future = self._pending.open()
        is_sent = False
        try:
            await self._link.wait_up(self._connect_timeout)
            await self._link.send([pack_header(Kind.REQUEST, request_id), body])
            is_sent = True
            return await future
        finally:
            self._pending.close(request_id)
            if is_sent and (future.cancelled() or not future.done()):
                self._link.cancel(request_id)

    def _check_ready(self) -> None:
        if self._is_closed:
            what = "client"
            raise ClosedError(what)
        if self._context.closed:
            what = "context"
            raise ClosedError(what)
        num_pending = len(self._pending) + self._link.num_unsent_cancels
        if num_pending >= self._max_pending:
            limit = f"{self._max_pending} pending calls"
            raise FullError(limit)
        self._start()

    def _start(self) -> None:
        if self._running is None:
            name = f"busduct rpc client of {self.endpoint}"
            self._running = asyncio.create_task(self._link.run(), name=name)

    def _on_message(self, frames: list[bytes]) -> None:
        try:
            kind, request_id = unpack_header(frames[0])
            if kind is not Kind.REPLY or len(frames) != 2:
                msg = f"{kind.name} of {len(frames)} frames"
                raise ValueError(msg)
        except ValueError as error:
            self._num_malformed += 1
            # A flood of them floods no log.
            if self._num_malformed == 1:
                _log.warning("malformed message of %s: %s", self.endpoint, error)
            return
        if not self._pending.resolve(request_id, frames[1]):
            self._num_unexpected += 1

    def _on_lost(self) -> None:
        error: BusductError = PeerLostError(self.endpoint)
        if self._is_closed or self._context.closed:
            error = ClosedError("client" if self._is_closed else "context")
        self._pending.fail_all(error)

    async def __aenter__(self) -> Self:
        self._start()
        return self

    def __del__(self) -> None:
        if hasattr(self, "_link") and not self._is_closed and not self._link.is_closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2)
