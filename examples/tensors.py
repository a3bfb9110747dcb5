"""Send arrays to another process: filled in place, read where they lie.

A step's hidden states go from the process that makes them to the one that reads them.
Between two processes on one host they lie in shared memory, and are copied nowhere.

    pip install numpy && python examples/tensors.py
"""

import asyncio
import sys
import tempfile
from typing import Literal

import msgspec
import numpy as np

from busduct.tensors import Tensor
from busduct.transport import PULL, PUSH, Context, MessageCodec, Receiver, Sender

STEPS, SHAPE = 3, (1024, 256)


class Step(msgspec.Struct):
    """What a worker has computed; another type or width is refused on arrival."""

    number: int
    hidden: Tensor[tuple[int, Literal[256]], Literal["float32"]]
    token_ids: np.ndarray


CODEC = MessageCodec(Step)


async def produce(address: str) -> None:
    """Compute the steps."""
    async with Context() as ctx:
        socket = ctx.socket(PUSH)
        socket.connect(address)
        sender = Sender(socket, CODEC)
        for number in range(STEPS):
            hidden = sender.loan_tensor("float32", SHAPE)
            # NB: no array over the loan may be left when it is sent.
            hidden.numpy()[...] = number
            await sender.asend(Step(number, hidden, np.arange(8)))


async def consume(address: str) -> None:
    """Read them; what is kept stays valid after everything is closed."""
    async with Context() as ctx:
        socket = ctx.socket(PULL)
        socket.bind(address)
        receiver = Receiver(socket, CODEC)
        producer = await asyncio.create_subprocess_exec(
            sys.executable, __file__, address
        )
        for _ in range(STEPS):
            step = await receiver.recv()
            assert step is not None
            hidden = step.hidden.numpy()
            print(
                f"step {step.number}: {hidden.dtype} {hidden.shape} "
                f"of {hidden.nbytes} bytes, mean {hidden.mean()}"
            )
        await producer.wait()
    print(f"the last one is still there: {hidden.mean()}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(produce(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as directory:
            asyncio.run(consume(f"ipc://{directory}/steps"))
