"""A pyzmq client keeps working while its service moves to busduct.

The service below is a busduct ROUTER; the client is a REQ of libzmq, unchanged. Both
are in one process here, only to make the example short.

    pip install pyzmq && python examples/with_pyzmq.py
"""

import asyncio
import tempfile
import threading

import zmq

from busduct.transport import ROUTER, Context


def ask(endpoint: str) -> None:
    """Ask twice, as any pyzmq client does."""
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.connect(endpoint)
        for prompt in ("hello", "again"):
            client.send_string(prompt)
            print(f"{prompt} -> {client.recv_string()}")


async def answer(router_endpoint: str, num_requests: int) -> None:
    """Answer each request in capitals."""
    async with Context() as ctx:
        router = ctx.socket(ROUTER)
        router.bind(router_endpoint)
        client = threading.Thread(target=ask, args=(router_endpoint,))
        client.start()
        for _ in range(num_requests):
            peer, delimiter, prompt = await router.recv_multipart()
            await router.send_multipart([peer, delimiter, prompt.upper()])
        await asyncio.to_thread(client.join)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(answer(f"ipc://{directory}/service.ipc", num_requests=2))
