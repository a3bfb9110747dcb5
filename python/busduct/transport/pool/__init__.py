"""Queries out to the processes of a pool, and what they answer back in."""

from busduct.transport.pool._config import (
    AnyTransportConfig,
    InprocTransportConfig,
    ShmTransportConfig,
    TransportConfig,
    ZMQTransportConfig,
)
from busduct.transport.pool._connector import (
    AnyWorkerConnector,
    ShmWorkerConnector,
    WorkerEndpoints,
    ZmqWorkerConnector,
)
from busduct.transport.pool._message_receiver import MessageReceiver
from busduct.transport.pool._message_sender import MessageSender
from busduct.transport.pool._protocols import (
    Request,
    Response,
    WorkerConnector,
    WorkerPoolTransport,
)
from busduct.transport.pool._readiness import WorkerReadiness
from busduct.transport.pool._transports import (
    InprocWorkerConnector,
    InprocWorkerPoolTransport,
    ShmWorkerPoolTransport,
    ZmqWorkerPoolTransport,
)

__all__ = [
    "AnyTransportConfig",
    "AnyWorkerConnector",
    "InprocTransportConfig",
    "InprocWorkerConnector",
    "InprocWorkerPoolTransport",
    "MessageReceiver",
    "MessageSender",
    "Request",
    "Response",
    "ShmTransportConfig",
    "ShmWorkerConnector",
    "ShmWorkerPoolTransport",
    "TransportConfig",
    "WorkerConnector",
    "WorkerEndpoints",
    "WorkerPoolTransport",
    "WorkerReadiness",
    "ZMQTransportConfig",
    "ZmqWorkerConnector",
    "ZmqWorkerPoolTransport",
]
