"""The pool's side: a PUSH for each worker, a PULL for responses, one for readiness."""

import asyncio
import warnings
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from busduct._backend import load_backend
from busduct.errors import ClosedError, FullError, LocalProtocolError
from busduct.messages import Query
from busduct.statistics import PoolStatistics
from busduct.transport._ranges import require_at_least
from busduct.transport.pool import _addresses
from busduct.transport.pool._config import TransportConfig, with_overrides
from busduct.transport.pool._links import Links
from busduct.transport.pool._long_texts import TEXT_NBYTES, TextSplitter
from busduct.transport.pool._message_receiver import MessageReceiver
from busduct.transport.pool._message_sender import LOAN_NBYTES
from busduct.transport.pool._protocols import Response, WorkerConnector
from busduct.transport.pool._ready_channel import ReadyChannel
from busduct.transport.pool._requests import RequestSockets
from busduct.transport.pool._statistics import new_statistics

if TYPE_CHECKING:
    from busduct._core import Context, Socket

__all__ = ["SocketWorkerPool"]


class SocketWorkerPool(MessageReceiver[Response]):
    """A pool over sockets; its kinds tell which endpoints, config and connector.

    Args:
        num_workers: How many.
        config: Of `config_type`.
    """

    config_type: ClassVar[type[TransportConfig]]

    def __init__(self, num_workers: int, config: TransportConfig) -> None:
        self._config = config
        self._backend = load_backend()
        with ExitStack() as undoing:
            self._open_place()
            undoing.callback(self._close_place)
            self._context: Context = self._backend.Context(**config.context_options())
            undoing.callback(self._context.close)
            super().__init__(self._listen(), msgspec.msgpack.Decoder(Response))
            ready = self._listen()
            ready.bind(self._endpoint(_addresses.READINESS_NAME))
            self._ready = ReadyChannel(ready, num_workers)
            self._links = Links(self._context, self._socket)
            self._requests = RequestSockets(config.max_message_bytes)
            self._send_nowait = self._requests.send_nowait
            for worker_id in range(num_workers):
                self._open_worker(worker_id)
            undoing.pop_all()
        # Encoding into the same buffer again and again meets no fresh pages.
        self._buffer = bytearray()
        self._encode_into = msgspec.msgpack.Encoder().encode_into
        self._split = TextSplitter().split
        # Whether the last query was so large that the next may be of long texts.
        self._has_texts = False
        self._num_dropped_cancels = 0
        self._num_renewed = 0
        self._last_stats: PoolStatistics | None = None
        self._is_closed = False

    @classmethod
    def create(
        cls,
        loop: asyncio.AbstractEventLoop,
        num_workers: int,
        config: TransportConfig | None = None,
        **overrides: Any,
    ) -> Self:
        """Open the pool's side; nothing is awaited, and workers may connect from here.

        Args:
            loop: It is used from there; it need not run yet.
            num_workers: How many, at least 1.
            config: None for the defaults.
            **overrides: Settings of the config that take the place of its own.

        Raises:
            ConfigError: A setting that is unknown or out of its range, a config of
                another transport, or what the backend cannot do.
            LocalProtocolError: Another loop is running here.
            OSError: What the system refuses.
        """
        require_at_least(1, num_workers=num_workers)
        running = asyncio._get_running_loop()
        if running is not loop and (running is not None or loop.is_running()):
            msg = "the pool is for another loop than the one that runs in this thread"
            raise LocalProtocolError(msg)
        pool = cls(num_workers, with_overrides(cls.config_type, config, overrides))
        if running is None:
            loop.call_soon(pool._attach)
        return pool

    @property
    def config(self) -> TransportConfig:
        """What it was created with."""
        return self._config

    @property
    def worker_connector(self) -> WorkerConnector:
        """What workers are to connect with, as of the last `renew_worker`."""
        raise NotImplementedError

    @property
    def ready_workers(self) -> frozenset[int]:
        """Those that told that they are ready, and were not renewed since."""
        self._ready.refresh()
        return self._ready.readiness.ready

    def send(self, worker_id: int, query: Query) -> None:
        """Give a query to a worker, at once; silent after `cleanup`.

        A worker gets what it is sent in order. Before it has connected, queries wait
        for it here.

        Raises:
            FrameTooLargeError: Over `max_message_bytes`.
            FullError: The worker has no room; nothing was accepted.
            IndexError: There is no such worker.
            TypeError: What msgpack cannot hold.
        """
        if self._has_texts and self._send_texts(worker_id, query):
            return
        buffer = self._buffer
        self._encode_into(query, buffer)
        if len(buffer) < LOAN_NBYTES:
            self._send_nowait[worker_id](buffer)
        else:
            self._has_texts = len(buffer) >= TEXT_NBYTES
            self._requests.send_large(worker_id, buffer)

    async def wait_writable(self, worker_id: int) -> bool:
        """Wait until a worker has room for a small query; False after `cleanup`.

        After a `FullError` that is once much of what was queued for it has gone.
        Cancelling is safe.

        Raises:
            IndexError: There is no such worker.
        """
        return await self._requests.wait_writable(worker_id)

    def cancel(self, worker_id: int, query_id: str) -> None:
        """Tell a worker to give a query up, after what it was sent before; at once.

        Best effort: where the worker has no room, it is not told, which is counted.

        Raises:
            IndexError: There is no such worker.
        """
        try:
            self._encode_into(query_id, self._buffer)
            self._send_nowait[worker_id](self._buffer)
        except FullError:
            self._num_dropped_cancels += 1

    async def wait_for_workers_ready(self, timeout: float | None = None) -> None:
        """Wait until all workers are ready.

        Those that were are remembered: after a timeout or a cancellation, another wait
        is for the rest. Several tasks may wait.

        Args:
            timeout: Seconds; None for no bound, 0 to look.

        Raises:
            ClosedError: The pool was cleaned up.
            WorkersNotReadyError: They are not in time; a `TimeoutError`, which tells
                how many are, and which are missing.
        """
        await self._ready.wait_all(timeout)

    async def wait_worker_ready(self, worker_id: int) -> None:
        """Wait until a worker is ready, the present one of that id.

        Raises:
            ClosedError: The pool was cleaned up.
            IndexError: There is no such worker.
        """
        self._requests.by_worker[worker_id]
        readiness = self._ready.readiness
        await self._ready.wait(lambda: readiness.is_ready(worker_id))

    async def wait_worker_gone(self, worker_id: int) -> None:
        """Wait until all that a dead worker sent can be taken.

        That is when its connection has ended, which is at once if it never had one. If
        the queue of its responses is full, it ends only after some are taken.

        Raises:
            ClosedError: The pool was cleaned up.
            IndexError: There is no such worker.
        """
        self._requests.by_worker[worker_id]
        await self._links.wait_ended(worker_id)

    def renew_worker(self, worker_id: int) -> None:
        """Forget a dead worker and what is queued for it, and await another.

        The next one connects with what `worker_connector` gives from here on; it is not
        ready yet. What the dead one sent can still be taken.

        Raises:
            ClosedError: The pool was cleaned up.
            IndexError: There is no such worker.
            OSError: What the system refuses.
        """
        if self._is_closed:
            raise ClosedError("pool")
        self._requests.drop(worker_id)
        self._num_renewed += 1
        self._links.unbind(worker_id)
        self._ready.readiness.renew(worker_id)
        self._open_worker(worker_id)

    def stats(self) -> PoolStatistics:
        """Return the counters and queue lengths; after `cleanup`, those that were."""
        if self._last_stats is not None:
            return self._last_stats
        self._ready.refresh()
        return new_statistics(
            self._requests,
            self._ready.readiness,
            self._socket.statistics(),
            num_connected=self._links.num_connected,
            num_renewed=self._num_renewed,
            num_taken=self.num_taken,
            num_dropped_cancels=self._num_dropped_cancels,
            num_malformed=self.num_malformed,
        )

    def cleanup(self) -> None:
        """Close the pool's side; idempotent.

        Blocks until what is queued for workers has gone, for at most the linger; what
        is queued for one that is not connected goes nowhere. From then on `send` is
        silent, `recv` and `poll` give None, also to those who wait.

        Raises:
            ForkedError: It is the parent's.
        """
        if self._is_closed:
            return
        self._last_stats = self.stats()
        self._is_closed = True
        self._requests.silence()
        super().close()
        try:
            self._context.close()
        finally:
            self._close_place()

    def close(self) -> None:
        """Do what `cleanup` does."""
        self.cleanup()

    def __del__(self) -> None:
        if not getattr(self, "_is_closed", True):
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2)

    def _open_place(self) -> None:
        """Make what endpoints need."""

    def _close_place(self) -> None:
        """Give that back."""

    def _endpoint(self, name: str) -> str:
        """Return the endpoint of a socket."""
        raise NotImplementedError

    def _attach(self) -> None:
        """Have the running loop watch the context, which any bind does."""
        if not self._is_closed:
            with self._context.socket(self._backend.PAIR) as socket:
                socket.bind("inproc://loop")

    def _send_texts(self, worker_id: int, query: Query) -> bool:
        """Send a query of long texts; whether it is one."""
        parts = self._split(query)
        self._has_texts = parts is not None
        if parts is not None:
            self._requests.send_large(worker_id, parts)
        return self._has_texts

    def _listen(self) -> "Socket":
        options = self._config.receiving_options()
        return self._context.socket(self._backend.PULL, **options)

    def _open_worker(self, worker_id: int) -> None:
        generation = self._ready.readiness.generations[worker_id]
        options = self._config.sending_options()
        socket = self._context.socket(self._backend.PUSH, **options)
        socket.bind(self._endpoint(_addresses.request_name(worker_id, generation)))
        name = _addresses.response_name(worker_id, generation)
        self._links.bind(worker_id, self._endpoint(name))
        self._requests.open(worker_id, socket)
