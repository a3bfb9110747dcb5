"""The socket whose calls block."""

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from busduct.errors import BusductError
from busduct.transport.zmq_compat._base import BaseSocket
from busduct.transport.zmq_compat._content import (
    Codec,
    checked_codec,
    checked_part,
    dump_json,
    load_json,
)
from busduct.transport.zmq_compat._shared_socket import Data
from busduct.transport.zmq_compat._waiting import Deadline, ThreadWaiter
from busduct.transport.zmq_compat.constants import Flag, PollEvent, SocketOption
from busduct.transport.zmq_compat.error import Again
from busduct.transport.zmq_compat.frame import (
    FINISHED_TRACKER,
    Frame,
    MessageTracker,
)

__all__ = ["Socket"]

T = TypeVar("T")
DONTWAIT = int(Flag.DONTWAIT)
SNDMORE = int(Flag.SNDMORE)
POLLIN = int(PollEvent.POLLIN)
POLLOUT = int(PollEvent.POLLOUT)


class Socket(BaseSocket):
    """A socket as pyzmq has it; for one thread at a time.

    Each call that sends or receives raises `Again` where `flags` hold NOBLOCK and it
    cannot be done at once, or where the time that the option SNDTIMEO or RCVTIMEO
    allows is over; `ContextTerminated` once its context is terminated; and `ZMQError`
    for what else libzmq refuses.
    """

    def send(
        self,
        data: Any,
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        **_kwargs: Any,
    ) -> MessageTracker | None:
        """Send a part; the last one, unless `flags` hold SNDMORE.

        The parts of a message go out together, when the last one is given.

        Args:
            data: Any bytes-like object; copied, unless it is `bytes`.
            flags: NOBLOCK and SNDMORE, or 0.
            copy: Whether None is returned rather than a tracker.
            track: As pyzmq's; the tracker is always done.
        """
        part = checked_part(data)
        if flags or not self._send_swiftly(part):
            self._send((part,), int(flags))
        return None if copy and not track else FINISHED_TRACKER

    def send_multipart(
        self,
        msg_parts: Sequence[Any],
        flags: int = 0,
        copy: bool = True,
        track: bool = False,
        **_kwargs: Any,
    ) -> MessageTracker | None:
        """Send a message of parts."""
        self._send([checked_part(part) for part in msg_parts], int(flags))
        return None if copy and not track else FINISHED_TRACKER

    def recv(self, flags: int = 0, copy: bool = True, track: bool = False) -> Any:
        """Receive a part; the option RCVMORE tells whether others follow it.

        Args:
            flags: NOBLOCK, or 0.
            copy: Return bytes rather than a `Frame`.
            track: Give the frame a tracker.
        """
        shared = self._shared
        batch = shared.batch
        if batch and not shared.incoming and os.getpid() == shared.shared.pid:
            part = batch.popleft()
        else:
            part = self._recv(shared.try_recv, flags)
        if copy:
            return part
        return Frame(part, track, more=shared.has_more)

    def recv_multipart(
        self, flags: int = 0, copy: bool = True, track: bool = False
    ) -> list[Any]:
        """Receive a message, or what is left of the one that `recv` began."""
        parts = self._recv(self._shared.try_recv_rest, flags)
        if copy:
            return parts
        last = len(parts) - 1
        return [Frame(part, track, more=i < last) for i, part in enumerate(parts)]

    def recv_into(self, buffer: Any, /, *, nbytes: int = 0, flags: int = 0) -> int:
        """Receive a part into a writable buffer.

        Args:
            buffer: Takes as much of the part as fits.
            nbytes: Bytes to take at most; 0 for the size of the buffer.
            flags: NOBLOCK, or 0.

        Returns:
            The size of the part, which may be more than was taken.

        Raises:
            BufferError: Not writable, or not contiguous.
            ValueError: `nbytes` is negative or more than the buffer holds.
        """
        view = writable_view(buffer, nbytes)
        part = self._recv(self._shared.try_recv, flags)
        taken = part[: view.nbytes]
        view[: len(taken)] = taken
        return len(part)

    def poll(self, timeout: float | None = None, flags: int = POLLIN) -> int:
        """Wait for events of this socket.

        Args:
            timeout: Milliseconds; None for no bound.
            flags: POLLIN, POLLOUT or both.

        Returns:
            Which of them are there; 0 if none came in time.
        """
        shared = self._shared
        flags = int(flags)

        def attempt() -> int | None:
            shared.check()
            return shared.events() & flags or None

        with shared.shared:
            shared.check()
            shared.shared.process()
            events = attempt()
        if events is None:
            events = self._wait(attempt, flags, _seconds(timeout))
        return events or 0

    def send_string(
        self, u: str, flags: int = 0, copy: bool = True, encoding: str = "utf-8"
    ) -> MessageTracker | None:
        """Send text as one part.

        Raises:
            TypeError: Not text.
        """
        if not isinstance(u, str):
            msg = f"a str is wanted, not {type(u).__name__}"
            raise TypeError(msg)
        return self.send(u.encode(encoding), flags, copy)

    def recv_string(self, flags: int = 0, encoding: str = "utf-8") -> str:
        """Receive a part as text."""
        return str(self.recv(flags), encoding)

    send_unicode = send_string
    recv_unicode = recv_string

    def send_json(self, obj: Any, flags: int = 0, **kwargs: Any) -> None:
        """Send an object as JSON; `kwargs` are of `json.dumps`."""
        self.send(dump_json(obj, kwargs), flags)

    def recv_json(self, flags: int = 0, **kwargs: Any) -> Any:
        """Receive an object as JSON; `kwargs` are of `json.loads`."""
        return load_json(self.recv(flags), kwargs)

    def send_serialized(
        self,
        msg: Any,
        serialize: Callable[[Any], Sequence[Any]],
        flags: int = 0,
        copy: bool = True,
        **_kwargs: Any,
    ) -> MessageTracker | None:
        """Send the parts that `serialize` makes of a message."""
        return self.send_multipart(serialize(msg), flags, copy)

    def recv_serialized(
        self,
        deserialize: Callable[[list[Any]], T],
        flags: int = 0,
        copy: bool = True,
    ) -> T:
        """Receive a message and return what `deserialize` makes of its parts."""
        return deserialize(self.recv_multipart(flags, copy))

    def send_pyobj(
        self,
        obj: Any,
        flags: int = 0,
        protocol: int = 0,
        *,
        pyobj_codec: Codec | None = None,
    ) -> None:
        """Send what `pyobj_codec.encode` makes of an object.

        Raises:
            NotSupportedError: No codec was given; it names the typed one of busduct.
        """
        self.send(checked_codec(pyobj_codec).encode(obj), flags)

    def recv_pyobj(self, flags: int = 0, *, pyobj_codec: Codec | None = None) -> Any:
        """Receive a part and return what `pyobj_codec.decode` makes of it.

        Raises:
            NotSupportedError: No codec was given; it names the typed one of busduct.
        """
        codec = checked_codec(pyobj_codec)
        return codec.decode(self.recv(flags))

    def _send_swiftly(self, part: Data) -> bool:
        """Send a part if that takes no lock and no waiting; tell whether it is sent."""
        shared = self._shared
        if shared.swift_send is None or shared.outgoing:
            return False
        try:
            shared.swift_send(part)
        except BusductError:
            # Whatever it is, the call under the lock waits for it, or raises it.
            return False
        return True

    def _send(self, parts: Sequence[Data], flags: int) -> None:
        shared = self._shared
        with shared.shared:
            if flags & SNDMORE:
                self._keep(parts, flags)
                return
            if shared.try_send(parts):
                return

        def attempt() -> bool | None:
            return shared.try_send(parts) or None

        timeout = 0.0 if flags & DONTWAIT else shared.options.seconds(_SNDTIMEO)
        if self._wait(attempt, POLLOUT, timeout) is None:
            raise Again

    def _keep(self, parts: Sequence[Data], flags: int) -> None:
        shared = self._shared
        if flags & DONTWAIT and not shared.events() & POLLOUT:
            shared.check()
            raise Again
        for part in parts:
            shared.send_part(part)

    def _recv(self, attempt: Callable[[], T | None], flags: int) -> T:
        shared = self._shared
        with shared.shared:
            result = attempt()
        if result is not None:
            return result
        timeout = 0.0 if int(flags) & DONTWAIT else shared.options.seconds(_RCVTIMEO)
        result = self._wait(attempt, POLLIN, timeout)
        if result is None:
            raise Again
        return result

    def _wait(
        self, attempt: Callable[[], T | None], events: int, timeout: float | None
    ) -> T | None:
        """Attempt again whenever it may succeed, for at most `timeout` seconds."""
        if timeout == 0:
            return None
        shared = self._shared
        deadline = Deadline(timeout)
        with ThreadWaiter([(shared, events)]) as waiter:
            while True:
                with shared.shared:
                    shared.shared.spare(waiter)
                    result = attempt()
                left = deadline.left()
                if result is not None or left == 0:
                    return result
                waiter.sleep(left)


_SNDTIMEO = SocketOption.SNDTIMEO
_RCVTIMEO = SocketOption.RCVTIMEO


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None or milliseconds < 0 else milliseconds / 1000


def writable_view(buffer: Any, nbytes: int) -> memoryview:
    """Return the first `nbytes` bytes of a buffer, or all if that is 0.

    Raises:
        BufferError: Not writable, or not contiguous.
        ValueError: `nbytes` is negative or more than the buffer holds.
    """
    view = memoryview(buffer)
    if view.readonly or not view.contiguous:
        msg = "a buffer to receive into must be writable and contiguous"
        raise BufferError(msg)
    if not 0 <= nbytes <= view.nbytes:
        msg = f"nbytes is {nbytes}; the buffer holds {view.nbytes}"
        raise ValueError(msg)
    flat = view.cast("B") if view.nbytes else memoryview(bytearray())
    return flat[: nbytes or view.nbytes]
