"""A queue as FastDeploy's: pickle, and a segment with a name for each large payload.

zmq.asyncio carries messages that are pickled; a payload of 1 MiB and more lies in a
segment of its own, which the consumer copies out, closes and unlinks. Written for this
benchmark, with the options that are that system's defaults.
"""

import contextlib
import pickle
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.shared_memory import SharedMemory

import queue_driver
import zmq
import zmq.asyncio
from queue_task import Task

THRESHOLD = 1 << 20
BUFFER_BYTES = 32 << 20


@dataclass
class Descriptor:
    """Where a payload lies."""

    shm_name: str
    size: int


@dataclass
class Message:
    """What goes over the socket."""

    msg_id: int
    payload: bytes | None
    descriptor: Descriptor | None = None
    timestamp: float = field(default_factory=time.time)


def lay_out(payload: bytes) -> Descriptor:
    """Copy a payload into a segment of its own."""
    segment = SharedMemory(create=True, size=len(payload))
    segment.buf[: len(payload)] = payload
    segment.close()
    return Descriptor(segment.name, len(payload))


def pick_up(descriptor: Descriptor) -> bytes:
    """Copy a payload out of its segment, and remove that."""
    segment = SharedMemory(descriptor.shm_name)
    payload = bytes(segment.buf[: descriptor.size])
    segment.close()
    segment.unlink()
    return payload


@contextlib.contextmanager
def opened(kind: int) -> Iterator[zmq.asyncio.Socket]:
    """Give a socket with the options that this system sets."""
    with zmq.asyncio.Context(io_threads=1) as context, context.socket(kind) as socket:
        socket.set_hwm(0)
        socket.setsockopt(zmq.SNDBUF, BUFFER_BYTES)
        socket.setsockopt(zmq.RCVBUF, BUFFER_BYTES)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.linger = 0
        yield socket


@contextlib.asynccontextmanager
async def producing(
    task: Task, threshold: int = THRESHOLD
) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """Give a call that puts a payload; from `threshold` bytes on by a segment."""
    with opened(zmq.PUSH) as push:
        push.connect(f"ipc://{task.directory}/queue")
        num_put = 0

        async def put(payload: bytes) -> None:
            nonlocal num_put
            if len(payload) < threshold:
                message = Message(num_put, payload)
            else:
                message = Message(num_put, None, lay_out(payload))
            num_put += 1
            await push.send(pickle.dumps(message), copy=False)

        yield put


@contextlib.asynccontextmanager
async def consuming(task: Task) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
    """Give a call that takes the next payload."""
    with opened(zmq.PULL) as pull:
        pull.bind(f"ipc://{task.directory}/queue")

        async def get() -> bytes:
            message = pickle.loads(await pull.recv())
            if message.descriptor is None:
                return message.payload
            return pick_up(message.descriptor)

        yield get


if __name__ == "__main__":
    queue_driver.main(producing, consuming)
