"""Run the HTTP service in this process: listen, serve, drain, end."""

import asyncio
import errno
import signal
from collections.abc import Awaitable, Callable
from enum import Enum
from socket import AF_INET6, socket
from types import TracebackType
from typing import Self

from busduct.errors import AddressInUseError
from busduct.server._config import ServerConfig, bind
from busduct.server._engine import TextEngine
from busduct.server._listener import Listener
from busduct.server.app import create_app

__all__ = ["ServeOutcome", "serve"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Requests that were cut off get this long to tell their clients so.
LAST_WORDS_TIMEOUT = 1.0


class ServeOutcome(Enum):
    """How a service came to its end."""

    DRAINED = "every request had its reply"
    CUT_OFF = "requests were cut off when the drain timeout was over"
    FORCED = "a second signal ended it at once"


async def serve(
    engine: TextEngine,
    config: ServerConfig,
    *,
    on_ready: Callable[[str], None] = lambda _url: None,
) -> ServeOutcome:
    """Start `engine`, serve it over HTTP until SIGINT or SIGTERM, and stop it.

    The first signal ends the listening and lets running requests finish, the second
    ends them at once. Must run in the main thread. Cancelling ends requests at once.

    Args:
        engine: Not started yet; it is stopped when this returns or raises.
        config: Where to listen, and the limits.
        on_ready: Called with the URL once requests are taken.

    Raises:
        AddressInUseError: Somebody listens at that port.
        AuthError: Not loopback, with neither a key nor `insecure`.
        ConfigError: The host has no address, or as `Engine.start`.
        WorkerStartError: As `Engine.start`.
    """
    with bind(config) as bound, _Signals() as signals:
        try:
            await _until_either(engine.start(), signals.first.wait())
            if signals.first.is_set():
                return ServeOutcome.DRAINED
            return await _serve_started(engine, config, bound, signals, on_ready)
        finally:
            await engine.stop(drain=False)


async def _serve_started(
    engine: TextEngine,
    config: ServerConfig,
    bound: socket,
    signals: "_Signals",
    on_ready: Callable[[str], None],
) -> ServeOutcome:
    listener = Listener(
        create_app(engine, config),
        idle_timeout=config.idle_timeout,
        on_ready=lambda: on_ready(_url(bound)),
    )
    running = asyncio.create_task(_listen(listener, bound), name="busduct-http")
    try:
        await _until_either(asyncio.shield(running), signals.first.wait())
        listener.stop()
        return await _drain(engine, config, running, signals)
    finally:
        listener.cut_off()
        await asyncio.wait({running}, timeout=LAST_WORDS_TIMEOUT)


async def _listen(listener: Listener, bound: socket) -> None:
    host, port = bound.getsockname()[:2]
    try:
        await listener.serve([bound])
    except OSError as error:
        # Another process bound the same port and was the first to listen there.
        if error.errno == errno.EADDRINUSE:
            raise AddressInUseError(f"{host}:{port}") from error
        raise


async def _drain(
    engine: TextEngine,
    config: ServerConfig,
    running: asyncio.Task[None],
    signals: "_Signals",
) -> ServeOutcome:
    await _until_either(
        asyncio.shield(running), signals.second.wait(), timeout=config.drain_timeout
    )
    if running.done():
        return ServeOutcome.DRAINED
    if signals.second.is_set():
        return ServeOutcome.FORCED
    # Without its engine, each request ends with an error that its client can read.
    await engine.stop(drain=False)
    await asyncio.wait({running}, timeout=LAST_WORDS_TIMEOUT)
    return ServeOutcome.CUT_OFF


async def _until_either(
    *waits: Awaitable[object], timeout: float | None = None
) -> None:
    """Wait for one of them or the timeout, cancel the others, raise what failed."""
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        done, _ = await asyncio.wait(
            tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _url(bound: socket) -> str:
    host, port = bound.getsockname()[:2]
    if bound.family == AF_INET6:
        host = f"[{host}]"
    return f"http://{host}:{port}"


class _Signals:
    """Turn the first and the second signal to end into events."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        (self.second if self.first.is_set() else self.first).set()
