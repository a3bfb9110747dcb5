"""Single attempts to send and to receive: a result, or the queue to wait in."""

import functools
import operator
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from busduct._fallback._kinds import KIND_NAMES, PULL, PUSH, ROUTER
from busduct._fallback._pattern import Pattern, State
from busduct._fallback._waiting import WaitQueue
from busduct.errors import (
    ClosedError,
    ConfigError,
    FrameTooLargeError,
    FullError,
    LocalProtocolError,
)

__all__ = ["Exchange"]

Data: TypeAlias = bytes | bytearray | memoryview


def _to_bytes(buffers: Iterable[Data]) -> list[bytes]:
    return [
        data if type(data) is bytes else bytes(memoryview(data)) for data in buffers
    ]


class Exchange:
    """What a socket tries, whichever way its caller waits."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._kind = pattern.options.kind
        self._max_parts = pattern.options.max_parts
        self._max_message_nbytes = pattern.options.max_message_bytes

    def check_open(self) -> None:
        """Raise `ClosedError` once the socket is closed."""
        if self._pattern.state is not State.OPEN:
            raise ClosedError

    def to_message(self, parts: Sequence[Data]) -> list[bytes]:
        """Check a message that is to be sent; copy what is not `bytes`."""
        message = _to_bytes(parts)
        self._check_message(message)
        return message

    def _check_message(self, message: list[bytes]) -> None:
        self.check_open()
        if self._kind == PULL:
            msg = "a PULL cannot send"
            raise LocalProtocolError(msg)
        if not message:
            msg = "a message has at least one part"
            raise LocalProtocolError(msg)
        if self._kind == ROUTER and len(message) < 2:
            msg = "a message of a ROUTER starts with a routing id; use send_multipart"
            raise LocalProtocolError(msg)
        if len(message) > self._max_parts:
            raise FrameTooLargeError(len(message), self._max_parts, "parts")
        nbytes = sum(map(len, message))
        if nbytes > self._max_message_nbytes:
            raise FrameTooLargeError(nbytes, self._max_message_nbytes)

    def to_messages(self, messages: Sequence[Data]) -> deque[list[bytes]]:
        """Check single-part messages that are to be sent."""
        copied = deque([data] for data in _to_bytes(messages))
        self.check_open()
        for message in copied:
            self._check_message(message)
        return copied

    def sending(self, parts: Sequence[Data]) -> Callable[[], WaitQueue | None]:
        """Return the attempt to send one message."""
        return functools.partial(self.send, self.to_message(parts))

    def sending_many(self, messages: Sequence[Data]) -> Callable[[], WaitQueue | None]:
        """Return the attempt to send several messages."""
        return functools.partial(self.send_all, self.to_messages(messages))

    def send(self, message: list[bytes]) -> WaitQueue | None:
        """Accept a message."""
        self.check_open()
        return self._pattern.distributor.accept(message)

    def send_all(self, messages: deque[list[bytes]]) -> WaitQueue | None:
        """Accept messages, taking them away, until one has to wait."""
        self.check_open()
        while messages:
            full = self._pattern.distributor.accept(messages[0])
            if full is not None:
                return full
            messages.popleft()
        return None

    def full_error(self, message: list[bytes]) -> FullError:
        """Say which mark stands in the way of a message."""
        return self._pattern.distributor.full_error(message)

    def recv_multipart(self) -> list[bytes] | WaitQueue:
        """Take the next message."""
        self._check_receiving()
        message = self._pattern.take()
        return self._pattern.collector.waiters if message is None else message

    def recv(self) -> bytes | WaitQueue:
        """Take the next message if it has one part."""
        self._check_receiving()
        if self._has_parts():
            self._refuse_parts()
        message = self._pattern.take()
        return self._pattern.collector.waiters if message is None else message[0]

    def receiving_many(
        self, max_n: int, max_bytes: int
    ) -> Callable[[], list[bytes] | WaitQueue]:
        """Return the attempt to take several messages."""
        if operator.index(max_n) < 1 or operator.index(max_bytes) < 1:
            msg = f"max_n is {max_n} and max_bytes {max_bytes}; both are at least 1"
            raise ConfigError(msg)
        return functools.partial(self._recv_many, max_n, max_bytes)

    def _recv_many(self, max_n: int, max_bytes: int) -> list[bytes] | WaitQueue:
        self._check_receiving()
        if self._has_parts():
            self._refuse_parts()
        taken: list[bytes] = []
        nbytes = 0
        while len(taken) < max_n and nbytes < max_bytes and not self._has_parts():
            message = self._pattern.take()
            if message is None:
                break
            taken.append(message[0])
            nbytes += len(message[0])
        return taken or self._pattern.collector.waiters

    def _check_receiving(self) -> None:
        self.check_open()
        if self._kind == PUSH:
            msg = "a PUSH cannot receive"
            raise LocalProtocolError(msg)

    def _has_parts(self) -> bool:
        """Whether the next message is there and has several parts."""
        message = self._pattern.collector.peek()
        return message is not None and (len(message) > 1 or self._kind == ROUTER)

    def _refuse_parts(self) -> None:
        # The message stays, and may be what the next one waits for.
        self._pattern.collector.waiters.wake()
        kind = KIND_NAMES[self._kind]
        msg = f"the next message of this {kind} has several parts; use recv_multipart"
        raise LocalProtocolError(msg)
