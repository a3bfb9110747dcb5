"""A pyzmq program on busduct: a receiver for asyncio, beside other tasks.

Written for pyzmq; only the import lines are changed.

    python examples/zmq_asyncio.py
"""

import asyncio

from busduct.transport import zmq_compat as zmq
from busduct.transport.zmq_compat.asyncio import Context


async def receive(context: Context, url: str) -> None:
    """Print parts until an empty message comes."""
    receiver = context.socket(zmq.PULL)
    receiver.connect(url)
    while True:
        kind, payload = await receiver.recv_multipart()
        if not payload:
            break
        print(f"{kind.decode()}: {payload.decode()}")
    receiver.close()


async def main() -> None:
    """Send to a receiver that runs as a task of the same loop."""
    context = Context()
    sender = context.socket(zmq.PUSH)
    port = sender.bind_to_random_port("tcp://127.0.0.1")
    receiving = asyncio.create_task(receive(context, f"tcp://127.0.0.1:{port}"))
    for number in range(3):
        await sender.send_multipart([b"token", str(number).encode()])
    await sender.send_multipart([b"end", b""])
    await receiving
    sender.close()
    context.term()


if __name__ == "__main__":
    asyncio.run(main())
