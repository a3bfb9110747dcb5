"""Sockets with ZeroMQ's patterns and wire, for asyncio and for blocking code."""

from typing import TYPE_CHECKING

from busduct._backend import load_backend
from busduct.transport._poller import POLLIN, POLLOUT, Poller
from busduct.transport._proxy import Proxy, ProxyStatistics, proxy, proxy_blocking
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
    "POLLIN",
    "POLLOUT",
    "PULL",
    "PUSH",
    "ROUTER",
    "Context",
    "Poller",
    "Proxy",
    "ProxyStatistics",
    "RpcClient",
    "RpcLimits",
    "RpcServer",
    "Socket",
    "fan_out",
    "get_zmq_socket",
    "proxy",
    "proxy_blocking",
    "rpc_method",
]
