"""Remote calls over DEALER and ROUTER."""

from busduct.transport.rpc._client import RpcClient
from busduct.transport.rpc._fan_out import RpcOutcome, fan_out
from busduct.transport.rpc._limits import RpcLimits
from busduct.transport.rpc._methods import rpc_method
from busduct.transport.rpc._server import RpcServer
from busduct.transport.rpc._statistics import RpcClientStatistics, RpcServerStatistics
from busduct.transport.rpc._stub import RpcMethod

__all__ = [
    "RpcClient",
    "RpcClientStatistics",
    "RpcLimits",
    "RpcMethod",
    "RpcOutcome",
    "RpcServer",
    "RpcServerStatistics",
    "fan_out",
    "rpc_method",
]
