"""A ring in shared memory between two C loops that spin: what no library can beat.

ring.c is compiled where this runs and called through ctypes. Payloads are copied in;
`receive` copies each out into one private buffer, `receive_view` reads the first byte
and the last where they lie. As many messages fit as `Task.depth` says, so that it is as
large as what the others use. Both sides publish after each message, or each batch.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from driver import Meter, Task, main, report_rate, skip
from unix_socket import offer, take

SOURCE = Path(__file__).with_name("ring.c")
BUILD_DIR = SOURCE.parents[2] / "target" / "benches"
PAGE_NBYTES = 4096


class RingState(ctypes.Structure):
    """`struct ring`."""

    _fields_ = (
        ("words", ctypes.c_void_p),
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_uint64) for name in ("capacity", "position", "offset")),
        ("known", ctypes.c_uint64),
    )


def library() -> Any:
    """Compile ring.c, unless that was done, and load it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or platform.machine() != "x86_64":
        skip("no C compiler here, or not x86-64")
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    path = BUILD_DIR / f"ring-{digest}.so"
    if not path.exists():
        BUILD_DIR.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        flags = ("-O3", "-march=native", "-shared", "-fPIC", "-std=gnu11")
        subprocess.run([compiler, *flags, "-o", partial, SOURCE], check=True)
        # Both sides compile at once: whoever is last replaces the same thing.
        partial.replace(path)
    found = ctypes.CDLL(str(path))
    found.ring_capacity.restype = found.ring_recv.restype = ctypes.c_uint64
    found.ring_receive.restype = ctypes.c_double
    return found


class Ring:
    """One side of the ring of a task."""

    def __init__(self, task: Task, descriptor: int) -> None:
        self._library, self._task = library(), task
        self._state = ctypes.byref(RingState())
        capacity = ctypes.c_uint64(self.capacity(task))
        if self._library.ring_open(self._state, descriptor, capacity):
            msg = "the ring could not be mapped"
            raise MemoryError(msg)

    @staticmethod
    def capacity(task: Task) -> int:
        """Return the bytes that its records need."""
        sizes = (ctypes.c_uint64(task.nbytes), ctypes.c_uint64(task.depth))
        found: int = library().ring_capacity(*sizes)
        return found

    @classmethod
    def made(cls, task: Task) -> "Ring":
        """Make one and hand it over."""
        descriptor = os.memfd_create("c_ring")
        os.truncate(descriptor, PAGE_NBYTES + cls.capacity(task))
        ring = cls(task, descriptor)
        offer(task.endpoint, [descriptor])
        return ring

    @classmethod
    def given(cls, task: Task) -> "Ring":
        """Open the other side's."""
        return cls(task, *take(task.endpoint, 1))

    def send(self, message: bytes) -> None:
        """Send one."""
        self._library.ring_send(self._state, message, ctypes.c_uint64(len(message)))

    def send_forever(self) -> None:
        """Send the payload until this process is ended."""
        sizes = (self._task.nbytes, self._task.batch or 1)
        arguments = map(ctypes.c_uint64, sizes)
        self._library.ring_send_forever(self._state, self._task.payload, *arguments)

    def recv(self) -> bytes:
        """Receive one."""
        into = ctypes.create_string_buffer(self._task.nbytes)
        nbytes = self._library.ring_recv(self._state, into)
        return into.raw[:nbytes]

    def receive(self, into: Any) -> float:
        """Receive for the time of the task; return messages a second."""
        task = self._task
        counts = map(ctypes.c_uint64, (task.batch or 1, task.chunk))
        times = map(ctypes.c_double, (task.seconds / 4, task.seconds))
        rate: float = self._library.ring_receive(self._state, into, *counts, *times)
        return rate


class Peer:
    """Two loops of C."""

    def send(self, task: Task) -> None:
        """Send without end."""
        ring = Ring.given(task)
        for message in task.first_messages():
            ring.send(message)
        ring.send_forever()

    def receive(self, task: Task) -> None:
        """Receive one by one, copied out, and count."""
        self._receive(task, ctypes.create_string_buffer(task.nbytes))

    def receive_view(self, task: Task) -> None:
        """Receive one by one, look at each where it lies, and count."""
        self._receive(task, None)

    def _receive(self, task: Task, into: Any) -> None:
        ring, meter = Ring.made(task), Meter(0.0)
        for index in range(task.num_checked):
            task.check(index, ring.recv())
        meter.rate = ring.receive(into)
        report_rate(meter)


if __name__ == "__main__":
    main(Peer())
