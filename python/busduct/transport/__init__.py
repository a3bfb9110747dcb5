"""Sockets with ZeroMQ's patterns and wire, for asyncio and for blocking code."""

from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.codec import MessageCodec
from busduct.transport._publisher import MessagePublisher
from busduct.transport._sender_receiver import (
    Receiver,
    ReceiverTransport,
    Sender,
    SenderTransport,
)
from busduct.transport._subscriber import MessageSubscriber
from busduct.transport._zmq import get_zmq_socket
from busduct.transport.rpc import RpcClient, RpcLimits, RpcServer, fan_out, rpc_method

if TYPE_CHECKING:
    from busduct._core import DEALER, PULL, PUSH, ROUTER, Context, Socket
else:
    _backend = load_backend()
    Context, Socket = _backend.Context, _backend.Socket
    DEALER, ROUTER = _backend.DEALER, _backend.ROUTER
    PULL, PUSH = _backend.PULL, _backend.PUSH

__all__ = [
    "DEALER",
    "PULL",
    "PUSH",
    "ROUTER",
    "Context",
    "MessageCodec",
    "MessagePublisher",
    "MessageSubscriber",
    "Receiver",
    "ReceiverTransport",
    "RpcClient",
    "RpcLimits",
    "RpcServer",
    "Sender",
    "SenderTransport",
    "Socket",
    "fan_out",
    "get_zmq_socket",
    "rpc_method",
]
