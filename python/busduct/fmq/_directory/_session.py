"""The connection of a directory's client to whoever serves, opened again when lost."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final

from busduct._backend import load_backend
from busduct.errors import (
    AuthError,
    BusductError,
    ClosedError,
    HandshakeError,
    RemoteProtocolError,
)
from busduct.fmq._directory._links import CLIENT_OPTIONS
from busduct.fmq._directory._wire import Answer, Hello, Refused, encode, parse_answer
from busduct.fmq._enduring_task import EnduringTask
from busduct.transport._patience import Patience

if TYPE_CHECKING:
    from busduct._core import Context, Monitor, Socket
    from busduct.monitor import MonitorEvent

__all__ = ["Session"]

ANSWER_SECONDS: Final = 5.0
# A server that ends may turn away one who comes at that moment, and no more.
_NUM_EXCUSED = 2


class Session:
    """Introduce a client to every server that comes to an address, one at a time.

    Whoever listens there and is no directory is let go, and tried again after a while
    that grows to 5 s.

    Args:
        context: Owns the sockets.
        address: Of the directory.
        insecure: As of `Socket.connect`.
        make_hello: Makes the first words, given the token of a connection.
        on_answer: Told what a server says in answer to them.
        on_down: Told that there is no connection, time and again until there is one,
            and why the last one ended, if that is known.
        on_fault: Told why the client cannot have to do with who listens there.

    Raises:
        ConfigError: Not an endpoint.
        ClosedError: The context is closed.
    """

    def __init__(
        self,
        context: "Context",
        address: str,
        *,
        insecure: bool,
        make_hello: Callable[[int], Hello],
        on_answer: Callable[[Answer], None],
        on_down: Callable[[BusductError | None], None],
        on_fault: Callable[[HandshakeError], None],
    ) -> None:
        self._context = context
        self._address = address
        self._insecure = insecure
        self._make_hello = make_hello
        self._on_answer = on_answer
        self._on_down = on_down
        self._on_fault = on_fault
        self._token = 0
        self._num_turned_away = 0
        self._patience = Patience(inf)
        self._timer: asyncio.TimerHandle | None = None
        self._socket: Socket | None = None
        self._tasks: tuple[EnduringTask, ...] = ()
        self._open()

    def close(self) -> None:
        """End the connection, and try no more. Idempotent."""
        self._cancel_timer()
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None
        for task in self._tasks:
            task.cancel()
        self._tasks = ()

    def _open(self) -> None:
        self._timer = None
        socket = self._context.socket(load_backend().DEALER, **CLIENT_OPTIONS)
        try:
            monitor = socket.monitor()
            socket.connect(self._address, insecure=self._insecure)
        except BaseException:
            socket.close(0)
            raise
        self._socket = socket
        name = f"busduct fmq directory {self._address}"
        self._tasks = (
            EnduringTask(f"{name} link", partial(self._watch, socket, monitor)),
            EnduringTask(f"{name} answers", partial(self._receive, socket)),
        )

    def _open_again(self) -> None:
        # The context may have been closed without us.
        with suppress(ClosedError):
            self._open()

    async def _watch(self, socket: "Socket", monitor: "Monitor") -> None:
        async for event in monitor:
            # NB: what was told of may have made an end of this connection.
            if self._socket is not socket:
                return
            self._on_event(socket, event)

    async def _receive(self, socket: "Socket") -> None:
        with suppress(ClosedError):
            while self._socket is socket:
                self._on_message(await socket.recv_multipart())

    def _on_event(self, socket: "Socket", event: "MonitorEvent") -> None:
        match event.kind:
            case "connected":
                self._introduce(socket)
            case "disconnected":
                self._cancel_timer()
                self._on_down(event.error)
            case "retried":
                self._on_down(None)
            case "handshake_failed" | "refused":
                self._note_refusal(event.error)

    def _introduce(self, socket: "Socket") -> None:
        self._num_turned_away = 0
        # Whatever a former server said, or is yet to be heard of it, counts no more.
        self._token += 1
        with suppress(ClosedError):
            socket.send_nowait(encode(self._make_hello(self._token)))
        self._cancel_timer()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(ANSWER_SECONDS, self._miss_answer)

    def _on_message(self, parts: list[bytes]) -> None:
        try:
            answer = parse_answer(parts)
        except RemoteProtocolError as error:
            self._back_off(error)
            return
        is_current = answer.token == self._token
        if isinstance(answer, Refused) and (is_current or not answer.token):
            self._cancel_timer()
            self._on_fault(HandshakeError(self._address, answer.reason))
        elif is_current:
            self._cancel_timer()
            self._patience.succeed()
            self._on_answer(answer)

    def _note_refusal(self, error: BusductError | None) -> None:
        if isinstance(error, RemoteProtocolError | AuthError | HandshakeError):
            self._back_off(error)
            return
        self._num_turned_away += 1
        if self._num_turned_away > _NUM_EXCUSED:
            reason = "who listens there ends every connection"
            self._back_off(HandshakeError(self._address, reason))

    def _miss_answer(self) -> None:
        reason = f"not a word in answer after {ANSWER_SECONDS} s"
        self._back_off(HandshakeError(self._address, reason))

    def _back_off(self, error: BusductError) -> None:
        """Have nothing more to do with who listens there, for a while."""
        self.close()
        self._num_turned_away = 0
        seconds = self._patience.seconds
        self._patience.fail(0.0)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._open_again)
        if isinstance(error, HandshakeError):
            self._on_fault(error)
        else:
            self._on_fault(HandshakeError(self._address, str(error)))

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
