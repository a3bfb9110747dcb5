"""The face for asyncio: calls return futures; stands in for `zmq.asyncio`."""

# mypy: disable-error-code="override,assignment"
# As in pyzmq, each call returns a future of what the blocking socket's returns.

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from busduct.transport.zmq_compat import context as _context
from busduct.transport.zmq_compat import socket as _socket
from busduct.transport.zmq_compat._content import (
    Codec,
    checked_codec,
    checked_part,
    dump_json,
    load_json,
)
from busduct.transport.zmq_compat._futures import LoopWaiter, Operation
from busduct.transport.zmq_compat._loop_poller import Poller, poll_operation
from busduct.transport.zmq_compat.constants import Flag, PollEvent, SocketOption
from busduct.transport.zmq_compat.frame import FINISHED_TRACKER, Frame

__all__ = ["Context", "Poller", "Socket", "ZMQEventLoop"]

DONTWAIT = int(Flag.DONTWAIT)
SNDMORE = int(Flag.SNDMORE)
POLLIN = int(PollEvent.POLLIN)
POLLOUT = int(PollEvent.POLLOUT)
Future = asyncio.Future


class Socket(_socket.Socket):
    """A socket whose calls return futures.

    A call is done at once if it can be, whether or not its future is awaited; else in
    turn. Cancelling a future that waits loses nothing. Closing the socket cancels all.
    """

    _repr_cls = "zmq.asyncio.Socket"
    _waiter: LoopWaiter | None = None

    def send(
        self,
        data: Any,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        **_kwargs: Any,
    ) -> Future[Any]:
        """Send a part; the last one, unless `flags` hold SNDMORE."""
        return self._sending([data], flags, copy and not track)

    def send_multipart(
        self,
        msg_parts: Sequence[Any],
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        **_kwargs: Any,
    ) -> Future[Any]:
        """Send a message of parts."""
        return self._sending(msg_parts, flags, copy and not track)

    def recv(
        self, flags: int = 0, copy: bool = True, track: bool = False
    ) -> Future[Any]:
        """Receive a part; the option RCVMORE tells whether others follow it."""

        def as_frame(part: bytes) -> Frame:
            return Frame(part, track, more=self._shared.has_more)

        return self._receiving_part(flags, None if copy else as_frame)

    def recv_multipart(
        self, flags: int = 0, copy: bool = True, track: bool = False
    ) -> Future[Any]:
        """Receive a message, or what is left of the one that `recv` began."""
        return self._receiving(flags, None if copy else _framed)

    def recv_into(
        self, buffer: Any, /, *, nbytes: int = 0, flags: int = 0
    ) -> Future[Any]:
        """Receive a part into a writable buffer; see the blocking socket."""
        view = _socket.writable_view(buffer, nbytes)

        def fill(part: bytes) -> int:
            taken = part[: view.nbytes]
            view[: len(taken)] = taken
            return len(part)

        return self._receiving_part(flags, fill)

    def poll(self, timeout: float | None = None, flags: int = POLLIN) -> Future[Any]:
        """Wait for events of this socket; the result is 0 if none came in time."""
        operation = poll_operation(self, int(flags))
        bound = None if timeout is None or timeout < 0 else timeout / 1000
        return self._in_loop().submit(operation, int(flags), bound, poll=True)

    def send_string(
        self, u: str, flags: int = 0, copy: bool = True, encoding: str = "utf-8"
    ) -> Future[Any]:
        """Send text as one part."""
        if not isinstance(u, str):
            msg = f"a str is wanted, not {type(u).__name__}"
            raise TypeError(msg)
        return self.send(u.encode(encoding), flags, copy)

    def recv_string(self, flags: int = 0, encoding: str = "utf-8") -> Future[Any]:
        """Receive a part as text."""
        return self._receiving_part(flags, partial(str, encoding=encoding))

    send_unicode = send_string
    recv_unicode = recv_string

    def send_json(self, obj: Any, flags: int = 0, **kwargs: Any) -> Future[Any]:
        """Send an object as JSON."""
        return self.send(dump_json(obj, kwargs), flags)

    def recv_json(self, flags: int = 0, **kwargs: Any) -> Future[Any]:
        """Receive an object as JSON."""
        return self._receiving_part(flags, lambda part: load_json(part, kwargs))

    def send_serialized(
        self,
        msg: Any,
        serialize: Callable[[Any], Sequence[Any]],
        flags: int = 0,
        copy: bool = True,
        **_kwargs: Any,
    ) -> Future[Any]:
        """Send the parts that `serialize` makes of a message."""
        return self.send_multipart(serialize(msg), flags, copy)

    def recv_serialized(
        self,
        deserialize: Callable[[list[Any]], Any],
        flags: int = 0,
        copy: bool = True,
    ) -> Future[Any]:
        """Receive a message; the result is what `deserialize` makes of its parts."""

        def convert(parts: list[bytes]) -> Any:
            return deserialize(parts if copy else _framed(parts))

        return self._receiving(flags, convert)

    def send_pyobj(
        self,
        obj: Any,
        flags: int = 0,
        protocol: int = 0,
        *,
        pyobj_codec: Codec | None = None,
    ) -> Future[Any]:
        """Send what `pyobj_codec.encode` makes of an object."""
        return self.send(checked_codec(pyobj_codec).encode(obj), flags)

    def recv_pyobj(
        self, flags: int = 0, *, pyobj_codec: Codec | None = None
    ) -> Future[Any]:
        """Receive a part; the result is what `pyobj_codec.decode` makes of it."""
        return self._receiving_part(flags, checked_codec(pyobj_codec).decode)

    def close(self, linger: int | None = None) -> None:
        """Close it, and cancel the futures of calls that wait. Idempotent."""
        super().close(linger)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.end()

    def _sending(
        self, parts: Sequence[Any], flags: int, is_untracked: bool
    ) -> Future[Any]:
        shared, flags = self._shared, int(flags)
        checked = [checked_part(part) for part in parts]

        def attempt() -> bool | None:
            if flags & SNDMORE:
                for part in checked:
                    shared.send_part(part)
                return True
            return shared.try_send(checked) or None

        waiter = self._in_loop()
        result = None if is_untracked else FINISHED_TRACKER
        operation = Operation(waiter.loop, attempt, lambda _: result)
        timeout = self._timeout(flags, SocketOption.SNDTIMEO)
        return waiter.submit(operation, POLLOUT, timeout, poll=False)

    def _receiving_part(
        self, flags: int, convert: Callable[[bytes], Any] | None
    ) -> Future[Any]:
        shared = self._shared
        number = 0

        def attempt() -> bytes | None:
            nonlocal number
            part = shared.try_recv()
            number = shared.taken
            return part

        def put_back(part: bytes) -> None:
            with shared.shared:
                shared.put_back([part], number)

        waiter = self._in_loop()
        operation = Operation(waiter.loop, attempt, convert, put_back)
        timeout = self._timeout(flags, SocketOption.RCVTIMEO)
        return waiter.submit(operation, POLLIN, timeout, poll=False)

    def _receiving(
        self, flags: int, convert: Callable[[list[bytes]], Any] | None
    ) -> Future[Any]:
        shared = self._shared
        number = 0

        def attempt() -> list[bytes] | None:
            nonlocal number
            parts = shared.try_recv_rest()
            number = shared.taken
            return parts

        def put_back(parts: list[bytes]) -> None:
            with shared.shared:
                shared.put_back(parts, number)

        waiter = self._in_loop()
        operation = Operation(waiter.loop, attempt, convert, put_back)
        timeout = self._timeout(flags, SocketOption.RCVTIMEO)
        return waiter.submit(operation, POLLIN, timeout, poll=False)

    def _timeout(self, flags: int, option: SocketOption) -> float | None:
        return 0.0 if int(flags) & DONTWAIT else self._shared.options.seconds(option)

    def _in_loop(self) -> LoopWaiter:
        loop = asyncio.get_running_loop()
        if self._waiter is None or self._waiter.loop is not loop:
            if self._waiter is not None:
                self._waiter.end()
            self._waiter = LoopWaiter(self._shared, loop)
        return self._waiter


class Context(_context.Context[Socket]):
    """A context whose sockets are awaited."""

    _socket_class = Socket
    _instance = None
    _repr_cls = "zmq.asyncio.Context"


def _framed(parts: list[bytes]) -> list[Frame]:
    last = len(parts) - 1
    return [Frame(part, more=i < last) for i, part in enumerate(parts)]


def ZMQEventLoop() -> asyncio.AbstractEventLoop:  # noqa: N802
    """Return a new event loop; pyzmq's name from before asyncio's loops sufficed."""
    return asyncio.new_event_loop()
