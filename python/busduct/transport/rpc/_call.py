"""One call at the server."""

import asyncio

import msgspec

from busduct.transport.rpc._methods import Method
from busduct.transport.rpc._wire import ErrorBody

__all__ = ["Call"]


class Call:
    """A request that was not yet answered.

    Attributes:
        client: Routing id of who asks.
        request_id: The client's number for it.
        method: What is called.
        parameters: Not yet decoded.
        nbytes: Of the body.
        task: What runs it, once it runs.
        is_abandoned: Nobody waits for a reply any more.
        verdict: What its caller is told if it is cancelled here.
    """

    __slots__ = (
        "client",
        "is_abandoned",
        "method",
        "nbytes",
        "parameters",
        "request_id",
        "task",
        "verdict",
    )

    def __init__(
        self,
        client: bytes,
        request_id: int,
        method: Method,
        parameters: msgspec.Raw,
        nbytes: int,
    ) -> None:
        self.client = client
        self.request_id = request_id
        self.method = method
        self.parameters = parameters
        self.nbytes = nbytes
        self.task: asyncio.Task[bytes] | None = None
        self.is_abandoned = False
        self.verdict: ErrorBody | None = None
