"""Arrays through a queue: copied once into shared memory, and read where they are.

Needs numpy. Arrays may be anywhere in a dictionary or list, beside all that msgpack
holds; those of torch and JAX go the same way.

    python examples/fmq_tensors.py
"""

import asyncio
import multiprocessing

import numpy as np

from busduct.fmq import FMQ

NUM_STEPS = 3


async def produce() -> None:
    """Put a batch for each step; the last is filled in place, and not copied at all."""
    async with FMQ() as fmq:
        batches = fmq.queue("batches")
        for step in range(NUM_STEPS):
            hidden = np.full((1024, 256), step, dtype=np.float32)
            await batches.put({"step": step, "hidden": hidden, "names": ["a", "b"]})
        loan = batches.loan(1024 * 256 * 4)
        loan.as_numpy("float32", (1024, 256))[:] = 0.5
        await batches.put(loan)
        await batches.wait_acknowledged()


async def consume() -> None:
    """Read the batches, without a copy."""
    async with FMQ() as fmq:
        batches = fmq.queue("batches", "consumer")
        for _ in range(NUM_STEPS):
            message = await batches.get(timeout=20_000, raise_on_timeout=True)
            assert message is not None
            hidden = message.payload["hidden"]
            print(
                f"step {message.payload['step']}: {hidden.dtype} {hidden.shape}, "
                f"mean {hidden.mean()}, writeable: {hidden.flags.writeable}"
            )
        message = await batches.get(timeout=20_000, raise_on_timeout=True)
        assert message is not None
        filled = np.frombuffer(message.payload, dtype=np.float32)
        print(f"filled in place: {filled.nbytes} bytes, mean {filled.mean()}")


def producer() -> None:
    """Be the producer's process."""
    asyncio.run(produce())


if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=producer)
    process.start()
    asyncio.run(consume())
    process.join()
