"""Call the methods of another process: typed, with timeouts, and errors by name.

Both ends are in one process here, only to make the example short.

    python examples/rpc.py
"""

import asyncio
import tempfile

import msgspec

from busduct.errors import RemoteError, RpcError, WaitTimeoutError
from busduct.transport import Context, RpcClient, RpcServer, fan_out


class LoadedModel(msgspec.Struct):
    """What `load` returns."""

    name: str
    num_layers: int


class NoSuchModelError(RpcError):
    """Its name and its text reach the caller; of other exceptions nothing does."""


async def load(name: str, num_layers: int = 2) -> LoadedModel:
    """Load a model, if it is the one there is."""
    if name != "small":
        text = f"there is no model {name!r}"
        raise NoSuchModelError(text)
    return LoadedModel(name, num_layers)


async def train() -> None:
    """Take for ever, or until nobody waits for it any more."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("the server stops training")
        raise


async def ask(client: RpcClient) -> None:
    """Call what there is, and what there is not."""
    print(await client.method("load", LoadedModel)(name="small"))
    try:
        await client.call("load", name="huge")
    except RemoteError as error:
        print(error)
    try:
        await client.call("load", name=7)
    except RemoteError as error:
        print(error)
    try:
        await client.call("train", timeout=0.5)
    except WaitTimeoutError as error:
        print(error)


async def main(directory: str) -> None:
    """Serve from two servers, and ask them."""
    async with (
        Context() as ctx,
        RpcServer(ctx) as first,
        RpcServer(ctx) as second,
    ):
        for server in (first, second):
            server.add(load)
        first.add(train)
        endpoint = first.bind(f"ipc://{directory}/first")
        other_endpoint = second.bind(f"ipc://{directory}/second")
        async with RpcClient(ctx, endpoint) as client:
            await ask(client)
        second.add(lambda: "only here", name="where")
        servers = [endpoint, other_endpoint]
        for outcome in await fan_out(servers, "where", context=ctx):
            print(outcome.result or outcome.error)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(main(directory))
