"""The pools: over Unix sockets, through shared memory, in one process."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, NoReturn

from busduct._backend import load_backend
from busduct.errors import LocalProtocolError
from busduct.transport._runtime_dir import RuntimeDirectory
from busduct.transport.pool._addresses import (
    READINESS_NAME,
    request_name,
    response_name,
)
from busduct.transport.pool._config import (
    InprocTransportConfig,
    ShmTransportConfig,
    ZMQTransportConfig,
)
from busduct.transport.pool._connector import (
    Channels,
    ShmWorkerConnector,
    WorkerEndpoints,
    ZmqWorkerConnector,
    open_channels,
    require_worker,
)
from busduct.transport.pool._readiness import encode_ready
from busduct.transport.pool._socket_pool import SocketWorkerPool

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = [
    "InprocWorkerConnector",
    "InprocWorkerPoolTransport",
    "ShmWorkerPoolTransport",
    "ZmqWorkerPoolTransport",
]


class _IpcWorkerPool(SocketWorkerPool):
    """A pool whose sockets lie in a directory of its own."""

    def _open_place(self) -> None:
        self._directory = RuntimeDirectory()

    def _close_place(self) -> None:
        self._directory.close()

    def _endpoint(self, name: str) -> str:
        return self._directory.endpoint(name)


class ZmqWorkerPoolTransport(_IpcWorkerPool):
    """A pool over Unix sockets on ZeroMQ's wire; through shared memory where both can.

    A process that speaks ZeroMQ and knows its endpoints is a full worker (docs/wire.md,
    "Queries").
    """

    config_type = ZMQTransportConfig
    _config: ZMQTransportConfig

    @property
    def worker_connector(self) -> ZmqWorkerConnector:
        """What workers are to connect with, as of the last `renew_worker`."""
        return ZmqWorkerConnector(
            directory=str(self._directory.path),
            generations=self._ready.readiness.generations,
            config=self._config,
        )


class ShmWorkerPoolTransport(_IpcWorkerPool):
    """A pool through shared memory, or not at all."""

    config_type = ShmTransportConfig
    _config: ShmTransportConfig

    @property
    def worker_connector(self) -> ShmWorkerConnector:
        """What workers are to connect with, as of the last `renew_worker`."""
        return ShmWorkerConnector(
            directory=str(self._directory.path),
            generations=self._ready.readiness.generations,
            config=self._config,
        )


class InprocWorkerConnector:
    """What a task of the pool's own loop connects with; no other process can.

    Args:
        context: The pool's.
        generations: For each worker, how many lived before it under its id.
        config: The pool's.
    """

    def __init__(
        self,
        context: "Context",
        generations: tuple[int, ...],
        config: InprocTransportConfig,
    ) -> None:
        self._context = context
        self._generations = generations
        self._config = config

    def connect(self, worker_id: int) -> AbstractAsyncContextManager[Channels]:
        """Connect a worker, and tell that it is ready before the block begins.

        Args:
            worker_id: Which, from 0.

        Raises:
            ConfigError: There is no such worker.
        """
        generation = require_worker(worker_id, self._generations)
        return self._connected(worker_id, generation)

    def __reduce__(self) -> NoReturn:
        msg = "a worker of an in-process pool cannot be in another process"
        raise LocalProtocolError(msg)

    @asynccontextmanager
    async def _connected(
        self, worker_id: int, generation: int
    ) -> AsyncIterator[Channels]:
        endpoints = WorkerEndpoints(
            _inproc_endpoint(request_name(worker_id, generation)),
            _inproc_endpoint(response_name(worker_id, generation)),
            _inproc_endpoint(READINESS_NAME),
        )
        async with open_channels(
            load_backend(),
            self._context,
            endpoints,
            self._config,
            encode_ready(worker_id, generation),
        ) as channels:
            yield channels


class InprocWorkerPoolTransport(SocketWorkerPool):
    """A pool whose workers are tasks of the same loop, for tests."""

    config_type = InprocTransportConfig
    _config: InprocTransportConfig

    @property
    def worker_connector(self) -> InprocWorkerConnector:
        """What workers are to connect with, as of the last `renew_worker`."""
        generations = self._ready.readiness.generations
        return InprocWorkerConnector(self._context, generations, self._config)

    def _endpoint(self, name: str) -> str:
        return _inproc_endpoint(name)


def _inproc_endpoint(name: str) -> str:
    return f"inproc://{name}"
