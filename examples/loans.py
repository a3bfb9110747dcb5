"""Send large payloads to another process without copying them.

The worker fills memory that its socket lends, and sends it; the scheduler looks at it
where it lies, and lets go. Between two processes on one host it is shared memory, and
four frames of 8 MiB take turns in a few pieces of it.

    pip install numpy && python examples/loans.py
"""

import asyncio
import sys
import tempfile

from busduct.transport import PULL, PUSH, Context

NUM_FRAMES, SHAPE = 4, (2048, 1024)


async def produce(address: str) -> None:
    """Fill and send the frames."""
    async with Context() as ctx:
        socket = ctx.socket(PUSH, immediate=True, linger=None)
        socket.connect(address)
        # Until there is a peer, what is lent is private, and copied when it is sent.
        await socket.wait_writable()
        for number in range(NUM_FRAMES):
            loan = socket.loan(4 * SHAPE[0] * SHAPE[1])
            frame = loan.as_numpy("float32", SHAPE)
            frame.fill(number)
            # NB: no array over the loan may be left when it is sent.
            del frame
            await socket.send(loan)


async def consume(address: str) -> None:
    """Look at the frames, one after the other."""
    async with Context() as ctx:
        socket = ctx.socket(PULL)
        socket.bind(address)
        producer = await asyncio.create_subprocess_exec(
            sys.executable, __file__, address
        )
        for _ in range(NUM_FRAMES):
            with await socket.recv_lease() as lease:
                frame = lease.as_numpy("float32", SHAPE)
                where = "shared" if lease.is_shared else "private"
                print(f"{where} memory of {lease.nbytes} bytes, mean {frame.mean()}")
                # Its memory goes back to the worker when the block ends.
                del frame
        await producer.wait()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(produce(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(consume(f"ipc://{directory}/frames"))
