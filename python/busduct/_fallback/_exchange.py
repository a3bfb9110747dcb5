"""Single attempts to send and to receive: a result, or the queue to wait in."""

import functools
import operator
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from busduct._fallback._given import Data, Given
from busduct._fallback._kinds import DEALER, KIND_NAMES, PAIR, PUSH, ROUTER
from busduct._fallback._lease import Lease
from busduct._fallback._pattern import Pattern, State
from busduct._fallback._waiting import WaitQueue
from busduct.errors import ClosedError, ConfigError, FullError, LocalProtocolError

__all__ = ["Attempt", "Exchange"]

Attempt: TypeAlias = Callable[[], WaitQueue | None]


def _to_parts(parts: Iterable[Data], given: Given) -> list[bytes]:
    return [
        data if type(data) is bytes else given.take(data, index)
        for index, data in enumerate(parts)
    ]


class Exchange:
    """What a socket tries, whichever way its caller waits."""

    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern
        self._kind = pattern.options.kind

    def check_open(self) -> None:
        """Raise `ClosedError` once the socket is closed."""
        if self._pattern.state is not State.OPEN:
            raise ClosedError

    def to_message(
        self, parts: Sequence[Data], given: Given, *, urgent: bool = False
    ) -> list[bytes]:
        """Check a message that is to be sent; copy what is not `bytes`."""
        message = _to_parts(parts, given)
        self.check_open()
        if urgent and self._kind not in {PAIR, PUSH, DEALER, ROUTER}:
            msg = f"a {KIND_NAMES[self._kind]} sends no urgent messages"
            raise LocalProtocolError(msg)
        self._check_message(message)
        return message

    def _check_message(self, message: list[bytes]) -> None:
        if not message:
            msg = "a message has at least one part"
            raise LocalProtocolError(msg)
        self._pattern.distributor.check(message)

    def to_messages(self, messages: Sequence[Data], given: Given) -> deque[list[bytes]]:
        """Check single-part messages that are to be sent."""
        copied = deque([part] for part in _to_parts(messages, given))
        self.check_open()
        for message in copied:
            self._check_message(message)
        rule = self._pattern.distributor.turn_rule
        if len(copied) > 1 and rule:
            raise LocalProtocolError(rule)
        return copied

    def sending(self, parts: Sequence[Data], given: Given) -> Attempt:
        """Return the attempt to send one message."""
        message = self.to_message(parts, given)
        return self._or_fail(functools.partial(self.send, message), lambda: message)

    def sending_many(self, messages: Sequence[Data], given: Given) -> Attempt:
        """Return the attempt to send several messages."""
        rest = self.to_messages(messages, given)
        return self._or_fail(functools.partial(self.send_all, rest), lambda: rest[0])

    def sending_urgent(self, parts: Sequence[Data], given: Given) -> Attempt:
        """Return the attempt to send one urgent message."""
        message = self.to_message(parts, given, urgent=True)
        return functools.partial(self.send, message, urgent=True)

    def _or_fail(self, attempt: Attempt, first: Callable[[], list[bytes]]) -> Attempt:
        """Make an attempt raise `FullError` rather than wait, if that is the policy.

        Only at the second try: the first leads to what gathered being written.
        """
        if self._pattern.options.send_policy != "error":
            return attempt
        has_tried = False

        def attempt_or_fail() -> WaitQueue | None:
            nonlocal has_tried
            full = attempt()
            if full is not None and has_tried:
                raise self.full_error(first())
            has_tried = True
            return full

        return attempt_or_fail

    def send(self, message: list[bytes], *, urgent: bool = False) -> WaitQueue | None:
        """Accept a message."""
        self.check_open()
        return self._pattern.distributor.accept(message, urgent=urgent)

    def send_all(self, messages: deque[list[bytes]]) -> WaitQueue | None:
        """Accept messages, taking them away, until one has to wait."""
        self.check_open()
        while messages:
            full = self._pattern.distributor.accept(messages[0])
            if full is not None:
                return full
            messages.popleft()
        return None

    def full_error(self, message: list[bytes], *, urgent: bool = False) -> FullError:
        """Say which mark stands in the way of a message."""
        return self._pattern.distributor.full_error(message, urgent=urgent)

    def recv_multipart(self) -> list[bytes] | WaitQueue:
        """Take the next message."""
        self._check_receiving()
        message = self._pattern.collector.take()
        return self._pattern.collector.waiters if message is None else message

    def recv(self) -> bytes | WaitQueue:
        """Take the next message if it has one part."""
        self._check_receiving()
        self._refuse_parts()
        message = self._pattern.collector.take()
        return self._pattern.collector.waiters if message is None else message[0]

    def recv_lease(self) -> Lease | WaitQueue:
        """Take the next message if it has one part, as a lease."""
        part = self.recv()
        return part if isinstance(part, WaitQueue) else Lease._open(part)

    def recv_multipart_lease(self) -> list[Lease] | WaitQueue:
        """Take the next message as leases."""
        parts = self.recv_multipart()
        if isinstance(parts, WaitQueue):
            return parts
        return [Lease._open(part) for part in parts]

    def receiving_many(
        self, max_n: int, max_bytes: int
    ) -> Callable[[], list[bytes] | WaitQueue]:
        """Return the attempt to take several messages."""
        if operator.index(max_n) < 1 or operator.index(max_bytes) < 1:
            msg = f"max_n is {max_n} and max_bytes {max_bytes}; both are at least 1"
            raise ConfigError(msg)
        if self._pattern.collector.takes_one:
            max_n = 1
        return functools.partial(self._recv_many, max_n, max_bytes)

    def _recv_many(self, max_n: int, max_bytes: int) -> list[bytes] | WaitQueue:
        self._check_receiving()
        collector = self._pattern.collector
        self._refuse_parts()
        taken: list[bytes] = []
        nbytes = 0
        while len(taken) < max_n and nbytes < max_bytes and collector.num_parts <= 1:
            message = collector.take()
            if message is None:
                break
            taken.append(message[0])
            nbytes += len(message[0])
        return taken or collector.waiters

    def _check_receiving(self) -> None:
        self.check_open()
        self._pattern.collector.check()

    def _refuse_parts(self) -> None:
        num_parts = self._pattern.collector.num_parts
        if num_parts <= 1:
            return
        # The message stays, and may be what the next one waits for.
        self._pattern.collector.waiters.wake()
        msg = f"next message has {num_parts} parts; use recv_multipart"
        raise LocalProtocolError(msg)

    @property
    def is_readable(self) -> bool:
        """Whether a receive would give a message or an error at once."""
        is_open = self._pattern.state is State.OPEN
        return not is_open or self._pattern.collector.is_readable

    @property
    def is_writable(self) -> bool:
        """Whether a small message would be accepted, or refused, at once."""
        is_open = self._pattern.state is State.OPEN
        return not is_open or self._pattern.distributor.blocker() is None

    def await_readable(self) -> WaitQueue | None:
        """Return where to wait for something to be received; None for nowhere."""
        self.check_open()
        collector = self._pattern.collector
        if not collector.is_readable:
            return collector.waiters
        # Who asks takes nothing: the next one may have been woken in its place.
        collector.waiters.wake()
        return None

    def await_writable(self) -> WaitQueue | None:
        """Return where to wait for room for a small message; None for nowhere."""
        self.check_open()
        return self._pattern.distributor.blocker()
