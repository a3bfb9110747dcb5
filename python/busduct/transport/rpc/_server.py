"""The face of a server of remote calls: its methods, its socket, its life."""

import asyncio
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from busduct._backend import load_backend
from busduct._scopes import AsyncScope
from busduct.errors import ClosedError
from busduct.monitor import MonitorEvent
from busduct.transport._zmq import SocketOptions
from busduct.transport.rpc._dispatcher import Dispatcher
from busduct.transport.rpc._faults import Faults
from busduct.transport.rpc._limits import RpcLimits
from busduct.transport.rpc._methods import MethodTable
from busduct.transport.rpc._options import check_options, check_seconds
from busduct.transport.rpc._statistics import RpcServerStatistics

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["RpcServer"]

F = TypeVar("F", bound=Callable[..., Any])

# So many messages are taken without giving way to other tasks.
_BATCH = 64


class RpcServer(AsyncScope):
    """Answer remote calls.

    Use it as an asynchronous context manager: it serves from entering to leaving::

        async with RpcServer(context) as server:
            server.add(generate)
            server.bind("ipc:///run/user/1000/service.ipc")
            await server.wait_closed()

    Parameters are checked against the annotations of the method. Plain functions run on
    the event loop as soon as they are asked for, and hold it; asynchronous ones run as
    tasks. A call is cancelled when its client cancels it, or is gone. Every other one
    ends with a result or an error, beyond the limits too.

    Args:
        context: Owns the socket.
        limits: How many calls run and wait; beyond them ``OverloadedError``.
        expose: Exceptions, besides `RpcError`, whose class name and text callers may
            see.
        close_timeout: Seconds that cancelled calls have to end when the server closes.
        **options: As of `Context.socket`, for the ROUTER.

    Raises:
        ConfigError: An option out of its range.
        ClosedError: The context is closed.
    """

    def __init__(
        self,
        context: "Context",
        *,
        limits: RpcLimits | None = None,
        expose: tuple[type[Exception], ...] = (),
        close_timeout: float = 5.0,
        **options: Unpack[SocketOptions],
    ) -> None:
        check_options(options)
        check_seconds("close_timeout", close_timeout)
        self._socket = context.socket(load_backend().ROUTER, **options)
        self._methods = MethodTable()
        self._dispatcher = Dispatcher(
            self._socket, self._methods, limits or RpcLimits(), Faults(expose)
        )
        self._close_timeout = close_timeout
        self._monitor = self._socket.monitor()
        self._receiving: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def add(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Let clients call a function, plain or asynchronous.

        Args:
            function: Every parameter has an annotation, and can be given by name.
            name: What callers say; None for the function's own name.
            timeout: Seconds that an asynchronous call may take, then it is cancelled
                and the caller gets ``TimeoutError``; None for no bound.

        Raises:
            ConfigError: The name is taken, or a parameter cannot be typed.
        """
        self._methods.add(function, name, timeout)

    def method(
        self, *, name: str | None = None, timeout: float | None = None
    ) -> Callable[[F], F]:
        """Return a decorator that does as `add`."""

        def decorate(function: F) -> F:
            self.add(function, name=name, timeout=timeout)
            return function

        return decorate

    def add_object(self, service: object, *, prefix: str = "") -> None:
        """Let clients call the methods of an object that `rpc_method` marks.

        Args:
            service: Of a class with marked methods.
            prefix: Put before each name.

        Raises:
            ConfigError: None is marked, or as of `add`.
        """
        self._methods.add_object(service, prefix)

    def bind(self, endpoint: str, *, insecure: bool = False) -> str:
        """Listen; return what is really bound. Raises as `Socket.bind`."""
        return self._socket.bind(endpoint, insecure=insecure)

    async def wait_closed(self) -> None:
        """Wait until the server, or its context, is closed."""
        receiving = self._receiving
        if receiving is None:
            return
        await asyncio.wait({receiving})
        if not receiving.cancelled():
            receiving.result()

    def statistics(self) -> RpcServerStatistics:
        """Return the counters."""
        return self._dispatcher.statistics()

    async def aclose(self) -> None:
        """Stop; calls that run are cancelled, and all callers told. Idempotent."""
        if self._socket.closed and self._receiving is None:
            return
        tasks = [task for task in (self._receiving, self._watching) if task]
        self._receiving = self._watching = None
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._dispatcher.aclose(self._close_timeout)
        self._socket.close()

    async def _receive(self) -> None:
        try:
            while True:
                for _ in range(_BATCH):
                    client, *frames = await self._socket.recv_multipart()
                    # First: a client that came back under the same routing id must
                    # not lose its calls to its own farewell.
                    self._drop_lost_clients()
                    self._dispatcher.on_message(client, frames)
                await asyncio.sleep(0)
        except ClosedError:
            return

    def _drop_lost_clients(self) -> None:
        while (event := self._monitor.recv_nowait()) is not None:
            self._on_event(event)

    async def _watch(self) -> None:
        async for event in self._monitor:
            self._on_event(event)

    def _on_event(self, event: MonitorEvent) -> None:
        if event.kind == "disconnected":
            self._dispatcher.drop_client(event.routing_id)

    async def __aenter__(self) -> Self:
        if self._receiving is None:
            self._receiving = asyncio.create_task(
                self._receive(), name="busduct rpc server"
            )
            self._watching = asyncio.create_task(
                self._watch(), name="busduct rpc server's clients"
            )
        return self

    def __del__(self) -> None:
        if hasattr(self, "_socket") and not self._socket.closed:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2)
