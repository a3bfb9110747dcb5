"""What vLLM's tensor-parallel ranks share, written anew from its published design.

The design is that of `ShmRingBuffer` and `MessageQueue` in
https://github.com/vllm-project/vllm, `shm_broadcast.py`: a ring of ten chunks of 10 MiB
in a `multiprocessing.shared_memory`; for each chunk a byte that says that it is written
and one a reader that says that he has read it; whoever waits looks again after
`sched_yield`; what does not fit into a chunk goes through a PUB socket of pyzmq, with a
chunk in its place. As there, flags are sliced out of the memory at each look and the
chunk at each item. Its pickle is left out: an item is copied in as it is, behind its
length, and out once by each reader as `bytes`.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory

import zmq
from driver import Task, main
from fan_out import END, Publishing
from unix_socket import fetch, hand_out

CHUNK_NBYTES = 10 << 20
NUM_CHUNKS = 10
# Of a chunk: whether the item went another way, then its length.
PREFIX_NBYTES = 9
READY = b"ready"


class Ring:
    """The chunks and their flags, in turn."""

    def __init__(self, memory: memoryview, num_readers: int) -> None:
        self._memory = memory
        self._num_readers = num_readers
        self._turn = 0

    @staticmethod
    def nbytes(num_readers: int) -> int:
        """Return what the ring takes in memory."""
        return NUM_CHUNKS * (CHUNK_NBYTES + 1 + num_readers)

    @contextmanager
    def writing(self) -> Iterator[memoryview]:
        """Give the next chunk, once all have read it, and show it to them after."""
        while True:
            with self._flags() as flags:
                if flags[0] and sum(flags[1:]) != self._num_readers:
                    os.sched_yield()
                    continue
                flags[0] = 0
                with self._chunk() as chunk:
                    yield chunk
                # NB: in this order, or a reader takes the item for an old one.
                for rank in range(self._num_readers):
                    flags[1 + rank] = 0
                flags[0] = 1
                break
        self._turn = (self._turn + 1) % NUM_CHUNKS

    @contextmanager
    def reading(self, rank: int) -> Iterator[memoryview]:
        """Give the next chunk, once it is written, and mark it as read after."""
        while True:
            with self._flags() as flags:
                if not flags[0] or flags[1 + rank]:
                    os.sched_yield()
                    continue
                with self._chunk() as chunk:
                    yield chunk
                flags[1 + rank] = 1
                break
        self._turn = (self._turn + 1) % NUM_CHUNKS

    def wait_until_read(self) -> None:
        """Wait until all have read everything; for the writer."""
        for _ in range(NUM_CHUNKS):
            with self._flags() as flags:
                while flags[0] and sum(flags[1:]) != self._num_readers:
                    os.sched_yield()
            self._turn = (self._turn + 1) % NUM_CHUNKS

    @contextmanager
    def _chunk(self) -> Iterator[memoryview]:
        begin = self._turn * CHUNK_NBYTES
        with self._memory[begin : begin + CHUNK_NBYTES] as chunk:
            yield chunk

    @contextmanager
    def _flags(self) -> Iterator[memoryview]:
        size = 1 + self._num_readers
        begin = NUM_CHUNKS * CHUNK_NBYTES + self._turn * size
        with self._memory[begin : begin + size] as flags:
            yield flags


class Writer:
    """The rank that all others get their work from."""

    def __init__(self, task: Task, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        count = task.num_subscribers
        self._memory = SharedMemory(create=True, size=Ring.nbytes(count))
        self._ring = Ring(self._memory.buf, count)
        self._overflow = context.socket(zmq.XPUB)
        self._overflow.xpub_verbose = 1
        self._overflow.bind(task.endpoint)
        hand_out(f"{task.endpoint}-handle", self._memory.name, count)
        for _ in range(count):
            self._overflow.recv()
        self._overflow.send(READY)

    def enqueue(self, item: bytes) -> None:
        """Show an item to all readers, once there is room."""
        is_large = PREFIX_NBYTES + len(item) > CHUNK_NBYTES
        with self._ring.writing() as chunk:
            chunk[0] = is_large
            if not is_large:
                chunk[1:PREFIX_NBYTES] = len(item).to_bytes(8, "little")
                chunk[PREFIX_NBYTES : PREFIX_NBYTES + len(item)] = item
        if is_large:
            self._overflow.send(item)

    def close(self) -> None:
        """Wait until all was read."""
        self._ring.wait_until_read()
        self._memory.close()
        self._memory.unlink()


class Reader:
    """One of the others."""

    def __init__(self, task: Task, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        # NB: not by its class, whose tracker would remove what is not this process's.
        name = fetch(f"{task.endpoint}-handle")
        with open(f"/dev/shm/{name}", "r+b") as file:
            self._memory = memoryview(mmap.mmap(file.fileno(), 0))
        self._ring, self._rank = Ring(self._memory, task.num_subscribers), task.rank
        self._overflow = context.socket(zmq.SUB)
        self._overflow.subscribe(b"")
        self._overflow.connect(task.endpoint)
        assert self._overflow.recv() == READY

    def dequeue(self) -> bytes:
        """Take the next item, waiting for it."""
        with self._ring.reading(self._rank) as chunk:
            if not chunk[0]:
                nbytes = int.from_bytes(chunk[1:PREFIX_NBYTES], "little")
                return bytes(chunk[PREFIX_NBYTES : PREFIX_NBYTES + nbytes])
        return self._overflow.recv()


class Peer:
    """Blocking code, as vLLM's worker loops are."""

    def publish(self, task: Task) -> Publishing:
        """Publish one by one, at the pace of the slowest."""
        with zmq.Context() as context:
            writer = Writer(task, context)
            for message in task.first_messages():
                writer.enqueue(message)
            payload, chunk = task.payload, task.chunk
            publishing = Publishing(task.seconds)
            while publishing.more():
                for _ in range(chunk):
                    writer.enqueue(payload)
                publishing.count += chunk
            writer.enqueue(END)
            writer.close()
            context.destroy()
            return publishing

    def subscribe(self, task: Task) -> int:
        """Receive one by one and count."""
        with zmq.Context() as context:
            reader = Reader(task, context)
            for index in range(task.num_checked):
                task.check(index, reader.dequeue())
            count = 0
            while reader.dequeue():
                count += 1
            context.destroy()
            return count


if __name__ == "__main__":
    main(Peer())
