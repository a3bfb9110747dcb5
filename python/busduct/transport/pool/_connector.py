"""A worker's side of the connection to its pool."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from busduct._backend import load_backend
from busduct.errors import ConfigError, PeerLostError
from busduct.transport._runtime_dir import ipc_endpoint
from busduct.transport.pool._addresses import (
    READINESS_NAME,
    request_name,
    response_name,
)
from busduct.transport.pool._config import (
    ShmTransportConfig,
    TransportConfig,
    ZMQTransportConfig,
)
from busduct.transport.pool._message_receiver import MessageReceiver
from busduct.transport.pool._message_sender import MessageSender
from busduct.transport.pool._protocols import Request, Response
from busduct.transport.pool._readiness import encode_ready

if TYPE_CHECKING:
    from types import ModuleType

    from busduct._core import Context, Monitor, Socket

__all__ = [
    "AnyWorkerConnector",
    "Channels",
    "ShmWorkerConnector",
    "WorkerEndpoints",
    "ZmqWorkerConnector",
    "open_channels",
    "require_worker",
]

# Whatever the linger is: the pool has to be told, and is there unless it has died.
READY_LINGER_SECONDS = 5.0

Channels: TypeAlias = tuple[MessageReceiver[Request], MessageSender[Response]]


class WorkerEndpoints(msgspec.Struct, frozen=True):
    """Where the pool listens for one worker.

    Attributes:
        request: A PUSH socket, that queries come from.
        response: A PULL socket, that results and chunks go to.
        readiness: A PULL socket.
    """

    request: str
    response: str
    readiness: str


class _IpcWorkerConnector(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """What a worker in a process of its own connects with.

    Attributes:
        directory: Of the pool's sockets.
        generations: For each worker, how many lived before it under its id.
    """

    directory: str
    generations: tuple[int, ...]

    def endpoints(self, worker_id: int) -> WorkerEndpoints:
        """Return where a worker is awaited, for one that does not use `connect`.

        Raises:
            ConfigError: There is no such worker.
        """
        generation = require_worker(worker_id, self.generations)
        directory = Path(self.directory)
        return WorkerEndpoints(
            ipc_endpoint(directory, request_name(worker_id, generation)),
            ipc_endpoint(directory, response_name(worker_id, generation)),
            ipc_endpoint(directory, READINESS_NAME),
        )

    def _connect(
        self, worker_id: int, config: TransportConfig
    ) -> AbstractAsyncContextManager[Channels]:
        endpoints = self.endpoints(worker_id)
        generation = self.generations[worker_id]
        return _connected(worker_id, generation, endpoints, config)


class ZmqWorkerConnector(_IpcWorkerConnector, frozen=True, kw_only=True, tag="zmq"):
    """What a worker of a `ZmqWorkerPoolTransport` connects with.

    Attributes:
        config: The pool's.
    """

    config: ZMQTransportConfig

    def connect(self, worker_id: int) -> AbstractAsyncContextManager[Channels]:
        """Connect a worker, in a context of its own, and tell that it is ready.

        The block begins once both connections are up. Its end goes on sending within
        the linger. If the pool ends first, the worker is not told: it connects again
        for as long as it lives, which is for whoever started it to bound.

        Args:
            worker_id: Which, from 0.

        Raises:
            ConfigError: There is no such worker.
        """
        return self._connect(worker_id, self.config)


class ShmWorkerConnector(_IpcWorkerConnector, frozen=True, kw_only=True, tag="shm"):
    """What a worker of a `ShmWorkerPoolTransport` connects with.

    Attributes:
        config: The pool's.
    """

    config: ShmTransportConfig

    def connect(self, worker_id: int) -> AbstractAsyncContextManager[Channels]:
        """Connect a worker as `ZmqWorkerConnector.connect`, through shared memory.

        Args:
            worker_id: Which, from 0.

        Raises:
            ConfigError: There is no such worker, or the backend is pure Python.
            PeerLostError: From the block's beginning: shared memory cannot be had.
        """
        return self._connect(worker_id, self.config)


AnyWorkerConnector: TypeAlias = ZmqWorkerConnector | ShmWorkerConnector


def require_worker(worker_id: int, generations: tuple[int, ...]) -> int:
    """Return the generation of a worker.

    Raises:
        ConfigError: There is no such worker.
    """
    if not 0 <= worker_id < len(generations):
        msg = f"worker_id is {worker_id}; there are {len(generations)} workers"
        raise ConfigError(msg)
    return generations[worker_id]


@asynccontextmanager
async def _connected(
    worker_id: int,
    generation: int,
    endpoints: WorkerEndpoints,
    config: TransportConfig,
) -> AsyncIterator[Channels]:
    backend = load_backend()
    ready = encode_ready(worker_id, generation)
    async with (
        backend.Context(**config.worker_context_options()) as context,
        open_channels(backend, context, endpoints, config, ready) as channels,
    ):
        yield channels


@asynccontextmanager
async def open_channels(
    backend: "ModuleType",
    context: "Context",
    endpoints: WorkerEndpoints,
    config: TransportConfig,
    ready: bytes,
) -> AsyncIterator[Channels]:
    """Connect a worker's sockets, and tell that it is ready.

    Args:
        backend: Of the context.
        context: Owns the sockets.
        endpoints: Where to.
        config: The pool's.
        ready: What is told.
    """
    is_final = isinstance(config, ShmTransportConfig)
    sending, receiving = config.sending_options(), config.receiving_options()
    requests = context.socket(backend.PULL, **receiving)
    responses = context.socket(backend.PUSH, **sending)
    monitors = {each: each.monitor() for each in (requests, responses)}
    requests.connect(endpoints.request)
    responses.connect(endpoints.response)
    with (
        MessageReceiver(requests, msgspec.msgpack.Decoder(Request)) as receiver,
        MessageSender[Response](responses, config.max_message_bytes) as sender,
    ):
        # Then the pool knows of both before it knows that the worker is ready.
        for socket, monitor in monitors.items():
            await _wait_connected(socket, monitor, is_final=is_final)
        sending["linger"] = READY_LINGER_SECONDS
        with context.socket(backend.PUSH, **sending) as told:
            told.connect(endpoints.readiness)
            await told.send(ready)
        yield receiver, sender


async def _wait_connected(
    socket: "Socket", monitor: "Monitor", *, is_final: bool
) -> None:
    """Wait until a socket is connected.

    Raises:
        PeerLostError: The other side broke off, and `is_final` says that it will again.
    """
    async for event in monitor:
        if event.kind == "connected" and socket.peers():
            monitor.close()
            return
        if is_final and event.kind in {"disconnected", "handshake_failed"}:
            raise PeerLostError(event.endpoint) from event.error
