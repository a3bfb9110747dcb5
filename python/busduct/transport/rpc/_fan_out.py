"""One call to many servers."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from busduct.errors import BusductError, ConfigError
from busduct.transport.rpc._client import RpcClient

if TYPE_CHECKING:
    from busduct._core import Context

__all__ = ["RpcOutcome", "fan_out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcOutcome:
    """How the call to one server ended.

    Attributes:
        endpoint: Of the server.
        result: What the method returned; None if it failed.
        error: Why it failed; None if it did not.
    """

    endpoint: str
    result: Any = None
    error: BusductError | None = None


async def fan_out(
    servers: Sequence[RpcClient | str],
    method: str,
    /,
    *,
    timeout: float | EllipsisType | None = ...,
    fail_fast: bool = False,
    context: "Context | None" = None,
    **parameters: Any,
) -> list[RpcOutcome]:
    """Call a method of many servers at once; one that fails does not hide the others.

    Cancelling cancels every call that has not ended.

    Args:
        servers: Clients, or endpoints that are connected to for this call.
        method: Its name.
        timeout: Seconds for each call; as of `RpcClient.call`.
        fail_fast: Raise the first error, with its endpoint as a note, and cancel the
            other calls.
        context: Owns the sockets for `servers` that are endpoints.
        **parameters: As of `RpcClient.call`.

    Returns:
        One outcome per server, in their order.

    Raises:
        BusductError: What `RpcClient.call` raises, if `fail_fast`.
        ConfigError: An endpoint that is none, or is given without a context.
        TypeError: A parameter cannot be encoded.
    """
    async with AsyncExitStack() as stack:
        clients = [await _client(server, context, stack) for server in servers]
        tasks = [
            asyncio.create_task(
                _outcome(client, method, timeout, fail_fast, parameters),
                name=f"busduct rpc {method} at {client.endpoint}",
            )
            for client in clients
        ]
        if not tasks:
            return []
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            # In the order of the servers; it raises what a call raised.
            ended = [task for task in tasks if task.done()]
            return [task.result() for task in ended]
        finally:
            await _cancel(tasks)


async def _client(
    server: RpcClient | str, context: "Context | None", stack: AsyncExitStack
) -> RpcClient:
    if isinstance(server, RpcClient):
        return server
    if context is None:
        msg = f"{server} is an endpoint, and there is no context to connect in"
        raise ConfigError(msg)
    return await stack.enter_async_context(RpcClient(context, server))


async def _outcome(
    client: RpcClient,
    method: str,
    timeout: float | EllipsisType | None,
    fail_fast: bool,
    parameters: dict[str, Any],
) -> RpcOutcome:
    try:
        result = await client.method(method, timeout=timeout)(**parameters)
    except BusductError as error:
        if fail_fast:
            error.add_note(f"from {client.endpoint}")
            raise
        return RpcOutcome(endpoint=client.endpoint, error=error)
    return RpcOutcome(endpoint=client.endpoint, result=result)


async def _cancel(tasks: list[asyncio.Task[RpcOutcome]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
