"""Sockets with ZeroMQ's patterns and wire, for asyncio and for blocking code."""

from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.codec import MessageCodec
from busduct.transport._key import load_key, new_key, save_key
from busduct.transport._poller import POLLIN, POLLOUT, Poller
from busduct.transport._proxy import Proxy, ProxyStatistics, proxy, proxy_blocking
from busduct.transport._publisher import MessagePublisher
from busduct.transport._runtime_dir import RuntimeDirectory
from busduct.transport._sender_receiver import (
    Receiver,
    ReceiverTransport,
    Sender,
    SenderTransport,
)
from busduct.transport._subscriber import MessageSubscriber
from busduct.transport._zmq import get_zmq_socket
from busduct.transport.broadcast import (
    BroadcastHandle,
    BroadcastQueue,
    BroadcastReader,
)
from busduct.transport.pool import (
    AnyTransportConfig,
    AnyWorkerConnector,
    InprocTransportConfig,
    InprocWorkerConnector,
    InprocWorkerPoolTransport,
    MessageReceiver,
    MessageSender,
    ShmTransportConfig,
    ShmWorkerConnector,
    ShmWorkerPoolTransport,
    TransportConfig,
    WorkerConnector,
    WorkerEndpoints,
    WorkerPoolTransport,
    WorkerReadiness,
    ZMQTransportConfig,
    ZmqWorkerConnector,
    ZmqWorkerPoolTransport,
)
from busduct.transport.rpc import RpcClient, RpcLimits, RpcServer, fan_out, rpc_method

if TYPE_CHECKING:
    from busduct._core import (
        DEALER,
        PAIR,
        PUB,
        PULL,
        PUSH,
        REP,
        REQ,
        ROUTER,
        SUB,
        XPUB,
        XSUB,
        Context,
        Monitor,
        Socket,
    )
else:
    _backend = load_backend()
    Context, Monitor, Socket = _backend.Context, _backend.Monitor, _backend.Socket
    PAIR, DEALER, ROUTER = _backend.PAIR, _backend.DEALER, _backend.ROUTER
    PULL, PUSH, REP, REQ = _backend.PULL, _backend.PUSH, _backend.REP, _backend.REQ
    PUB, SUB, XPUB, XSUB = _backend.PUB, _backend.SUB, _backend.XPUB, _backend.XSUB

__all__ = [
    "DEALER",
    "PAIR",
    "POLLIN",
    "POLLOUT",
    "PUB",
    "PULL",
    "PUSH",
    "REP",
    "REQ",
    "ROUTER",
    "SUB",
    "XPUB",
    "XSUB",
    "AnyTransportConfig",
    "AnyWorkerConnector",
    "BroadcastHandle",
    "BroadcastQueue",
    "BroadcastReader",
    "Context",
    "InprocTransportConfig",
    "InprocWorkerConnector",
    "InprocWorkerPoolTransport",
    "MessageCodec",
    "MessagePublisher",
    "MessageReceiver",
    "MessageSender",
    "MessageSubscriber",
    "Monitor",
    "Poller",
    "Proxy",
    "ProxyStatistics",
    "Receiver",
    "ReceiverTransport",
    "RpcClient",
    "RpcLimits",
    "RpcServer",
    "RuntimeDirectory",
    "Sender",
    "SenderTransport",
    "ShmTransportConfig",
    "ShmWorkerConnector",
    "ShmWorkerPoolTransport",
    "Socket",
    "TransportConfig",
    "WorkerConnector",
    "WorkerEndpoints",
    "WorkerPoolTransport",
    "WorkerReadiness",
    "ZMQTransportConfig",
    "ZmqWorkerConnector",
    "ZmqWorkerPoolTransport",
    "fan_out",
    "get_zmq_socket",
    "load_key",
    "new_key",
    "proxy",
    "proxy_blocking",
    "rpc_method",
    "save_key",
]
