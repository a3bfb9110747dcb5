"""A method of a server as a function, and what a reply says."""

from collections.abc import Awaitable, Callable, Mapping
from types import EllipsisType
from typing import Any, Generic, TypeAlias, TypeVar, cast

import msgspec

from busduct.errors import RemoteError, RemoteProtocolError
from busduct.transport.rpc._wire import ErrorBody, decode, decode_reply, make_decoder

__all__ = ["RpcMethod", "result_of"]

T = TypeVar("T")

_Request: TypeAlias = Callable[
    [str, Mapping[str, Any], float | EllipsisType | None], Awaitable[bytes]
]


class RpcMethod(Generic[T]):
    """A method of a server as a function; see `RpcClient.method`."""

    def __init__(
        self,
        request: _Request,
        name: str,
        result_type: Any,
        timeout: float | EllipsisType | None,
    ) -> None:
        self._request = request
        self._name = name
        self._timeout = timeout
        self._decoder: msgspec.msgpack.Decoder[T] = make_decoder(result_type)

    async def __call__(self, /, **parameters: Any) -> T:
        """Call it; raises as `RpcClient.call`."""
        body = await self._request(self._name, parameters, self._timeout)
        return result_of(self._name, body, self._decoder)


def result_of(method: str, body: bytes, decoder: msgspec.msgpack.Decoder[T]) -> T:
    """Return the result in a reply, or raise the error in it.

    Raises:
        RemoteError: The error.
        RemoteProtocolError: The reply is malformed, or its result of another type.
    """
    try:
        reply = decode_reply(body)
        if isinstance(reply.result, msgspec.Raw):
            return decode(decoder, reply.result)
    except msgspec.DecodeError as error:
        msg = f"malformed reply of method {method}: {error}"
        raise RemoteProtocolError(msg) from error
    # A reply without a result has an error: `Reply` checks it.
    error_body = cast("ErrorBody", reply.error)
    raise RemoteError(error_body.type, error_body.message)
