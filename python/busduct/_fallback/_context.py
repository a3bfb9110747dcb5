"""The owner of sockets, and of the descriptor that tells when they need attention."""

import functools
import warnings
from collections.abc import Awaitable
from types import TracebackType
from typing import Any, final

from busduct._fallback._auth import KEY_NBYTES
from busduct._fallback._inproc import InprocNames
from busduct._fallback._io_thread import ThreadedReactor
from busduct._fallback._options import SocketOptions, check_timeout
from busduct._fallback._pattern import Pattern, State
from busduct._fallback._reactor import Reactor
from busduct._fallback._scope import Scope
from busduct._fallback._shm_options import check_shm_options
from busduct._fallback._socket import Socket
from busduct._fallback._waiting import Operation, WaitQueue
from busduct.errors import ClosedError, ConfigError
from busduct.statistics import ContextStatistics

__all__ = ["Context"]


@final
class Context(Scope):
    """Own sockets and the one file descriptor that tells when they need attention.

    The twin of the native class; see there for the contract. Here the descriptor does
    not tell of timers: outside asyncio, call `run_once` at least every 100 ms while
    something is to be connected again.
    """

    def __init__(
        self,
        *,
        key: bytes | None = None,
        io_thread: bool = False,
        shm: str = "auto",
        shm_max_bytes: int = 268435456,
        shm_ring_bytes: int = 524288,
        spin_us: int = 0,
    ) -> None:
        check_shm_options(shm, shm_max_bytes, shm_ring_bytes, spin_us)
        self._key = None if key is None else _check_key(key)
        self._reactor = ThreadedReactor() if io_thread else Reactor()
        self._names = InprocNames()
        self._patterns: list[Pattern] = []
        self._is_closed = False

    def statistics(self) -> ContextStatistics:
        """Return what the context holds in shared memory: nothing."""
        with self._reactor:
            return ContextStatistics(
                num_shm_peers=0,
                num_shm_refused=0,
                shm_ring_bytes=0,
                shm_arena_bytes=0,
                num_shm_segments=0,
                num_shm_slots_held=0,
            )

    def socket(
        self,
        kind: int,
        *,
        hwm_messages: int = 1000,
        hwm_bytes: int = 67108864,
        linger: float | None = 1.0,
        max_message_bytes: int = 1073741824,
        max_parts: int = 1024,
        max_peers: int = 4096,
        handshake_timeout: float = 10.0,
        reconnect_interval: float = 0.1,
        reconnect_max: float = 5.0,
        routing_id: bytes = b"",
        on_full: str | None = None,
        immediate: bool = False,
        heartbeat_interval: float | None = None,
        heartbeat_timeout: float | None = None,
        heartbeat_ttl: float | None = None,
        backlog: int = 4096,
        tcp_keepalive_idle: float | None = None,
        tcp_keepalive_interval: float = 10.0,
        tcp_keepalive_count: int = 3,
        send_buffer_bytes: int = 0,
        recv_buffer_bytes: int = 0,
        probe_router: bool = False,
        router_mandatory: bool = True,
        router_handover: bool = False,
        req_correlate: bool = False,
        req_relaxed: bool = False,
        xpub_verbose: bool = False,
        max_subscriptions: int = 65536,
        isolate: bool = False,
    ) -> Socket:
        """Open a socket."""
        given: dict[str, Any] = dict(locals())
        del given["self"]
        given["routing_id"] = bytes(memoryview(routing_id))
        options = SocketOptions(**given, key=self._key)
        with self._reactor:
            self._check_open()
            pattern = Pattern(self._reactor, options, self._names)
            self._patterns = [p for p in self._patterns if p.state is not State.CLOSED]
            self._patterns.append(pattern)
            return Socket._open(self, self._reactor, pattern)

    def fileno(self) -> int:
        """Return the descriptor that is readable when `run_once` has work."""
        with self._reactor:
            self._check_open()
            return self._reactor.watched_fileno()

    def run_once(self, timeout: float | None = 0.0) -> None:
        """Do what is ready, waiting at most `timeout` seconds (None: no bound)."""
        with self._reactor:
            self._check_open()
            check_timeout(timeout)
            self._reactor.process(timeout)

    def close(self) -> None:
        """Close all sockets and block until their lingers end. Idempotent."""
        with self._reactor:
            self._start_closing()
            while self._first_open() is not None:
                self._reactor.process(None)
            self._reactor.close()

    def aclose(self) -> Awaitable[None]:
        """Close all sockets and wait until their lingers end. Idempotent.

        Cancelling leaves the context closing: call `close` or `aclose` again.
        """
        with self._reactor:
            self._start_closing()
        return Operation(self._reactor, self._try_close)

    def _try_close(self) -> WaitQueue | None:
        pattern = self._first_open()
        if pattern is not None:
            return pattern.ended
        self._reactor.close()
        return None

    def _start_closing(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            for pattern in self._patterns:
                pattern.close(pattern.options.linger)

    def _first_open(self) -> Pattern | None:
        for pattern in self._patterns:
            if pattern.state is not State.CLOSED:
                return pattern
        return None

    def _check_open(self) -> None:
        if self._is_closed:
            what = "context"
            raise ClosedError(what)

    @property
    def closed(self) -> bool:
        """Whether `close` or `aclose` was called."""
        return self._is_closed

    def __del__(self) -> None:
        reactor = getattr(self, "_reactor", None)
        if reactor is None or reactor.is_closed:
            return
        if not reactor.is_foreign:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, 2, source=self)
            reactor.abandon(functools.partial(_close_at_once, self._patterns))
        else:
            reactor.close()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
        /,
    ) -> None:
        await self.aclose()


def _close_at_once(patterns: list[Pattern]) -> None:
    for pattern in patterns:
        pattern.close(0)


def _check_key(key: bytes) -> bytes:
    key = bytes(memoryview(key))
    if len(key) != KEY_NBYTES:
        msg = f"key of {len(key)} bytes; it has {KEY_NBYTES}"
        raise ConfigError(msg)
    return key
