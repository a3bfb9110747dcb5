"""A context with a thread of its own goes on while its owner is away."""

import asyncio
import gc
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.transport.peers import GREETING, command, frame, ready
from tests.transport.test_ownership import outcome_in_child, outcome_in_thread
from tests.transport.waiting import eventually

from busduct._fallback._bell import Bell, wait_readable
from busduct.errors import (
    ClosedError,
    FullError,
    LocalProtocolError,
    WaitTimeoutError,
)
from busduct.transport import POLLIN, Poller

TCP = "tcp://127.0.0.1:0"
PATIENCE_SECONDS = 20.0
NAME = "busduct-io"


def num_io_threads() -> int:
    """Count the threads of contexts, as Python knows them or else the kernel."""
    ours = [thread for thread in threading.enumerate() if thread.name == NAME]
    if ours:
        return len(ours)
    num_named = 0
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            num_named += (task / "comm").read_text().strip() == NAME
    return num_named


class BlockingPeer:
    """A raw peer on a plain blocking socket: using it keeps the owner's thread away."""

    def __init__(self, sock: socket.socket, kind: bytes) -> None:
        self.sock = sock
        self._stream = sock.makefile("rb")
        sock.sendall(GREETING + ready(kind))
        self.read(64)
        assert self.frame()[1].startswith(b"\x05READY")

    def read(self, nbytes: int) -> bytes:
        data = self._stream.read(nbytes)
        assert data is not None
        assert len(data) == nbytes, "the connection was closed"
        return data

    def frame(self) -> tuple[int, bytes]:
        """Return the flags and the body of the next frame."""
        flags = self.read(1)[0]
        nbytes = int.from_bytes(self.read(8 if flags & 2 else 1), "big")
        return flags & ~2, self.read(nbytes)

    def close(self) -> None:
        self._stream.close()
        self.sock.close()


@contextmanager
def blocking_peer(endpoint: str, kind: bytes) -> Iterator[BlockingPeer]:
    """Connect a blocking raw peer, which waits at most so long for anything."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    peer = BlockingPeer(
        socket.create_connection((host, int(port)), PATIENCE_SECONDS), kind
    )
    try:
        yield peer
    finally:
        peer.close()


@contextmanager
def accepted(server: socket.socket, kind: bytes) -> Iterator[BlockingPeer]:
    """Accept one connection as a blocking raw peer."""
    server.settimeout(PATIENCE_SECONDS)
    sock, _ = server.accept()
    sock.settimeout(PATIENCE_SECONDS)
    peer = BlockingPeer(sock, kind)
    try:
        yield peer
    finally:
        peer.close()


def busily_until(condition: Callable[[], Any]) -> None:
    """Keep this thread busy, giving nothing else of the owner a turn."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"


async def test_handshake_and_pings_are_answered_while_the_owner_blocks(
    backend: ModuleType, any_loop: str
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        # The loop stands still in this block: not one await.
        with blocking_peer(rx.bind(TCP), b"PUSH") as peer:
            for index in range(50):
                context = b"%d" % index
                peer.sock.sendall(command(b"PING", b"\0\0" + context))
                assert peer.frame() == (4, b"\x04PONG" + context)


def test_pings_are_answered_while_the_owner_computes(backend: ModuleType) -> None:
    pongs: list[bytes] = []
    with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(TCP)

        def ask() -> None:
            with blocking_peer(endpoint, b"PUSH") as peer:
                for _ in range(10):
                    peer.sock.sendall(command(b"PING", b"\0\0"))
                    pongs.append(peer.frame()[1])

        asking = threading.Thread(target=ask)
        asking.start()
        busily_until(lambda: len(pongs) == 10)
        asking.join()
    assert pongs == [b"\x04PONG"] * 10


async def test_our_pings_leave_while_the_owner_blocks(backend: ModuleType) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.01, heartbeat_timeout=30.0)
        with blocking_peer(rx.bind(TCP), b"PUSH") as peer:
            for _ in range(10):
                assert peer.frame() == (4, b"\x04PING\0\0")


async def test_silent_peer_is_given_up_while_the_owner_blocks(
    backend: ModuleType,
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL, heartbeat_interval=0.05)
        with blocking_peer(rx.bind(TCP), b"PUSH") as peer:
            assert peer.frame() == (4, b"\x04PING\0\0")
            while peer.sock.recv(4096):
                pass
        # The thread may have closed the connection, and not yet counted it.
        busily_until(lambda: rx.statistics().num_disconnected == 1)


async def test_accepted_messages_leave_while_the_owner_blocks(
    backend: ModuleType, any_loop: str
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        tx = ctx.socket(backend.PUSH)
        with blocking_peer(tx.bind(TCP), b"PULL") as peer:
            await eventually(lambda: tx.statistics().num_peers == 1)
            for index in range(100):
                tx.send_nowait(b"%d" % index)
            await tx.send(b"last")
            received = [peer.frame()[1] for _ in range(101)]
            assert received == [b"%d" % index for index in range(100)] + [b"last"]


async def test_more_than_the_kernel_takes_leaves_while_the_owner_blocks(
    backend: ModuleType,
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        tx = ctx.socket(backend.PUSH)
        with blocking_peer(tx.bind(TCP), b"PULL") as peer:
            await eventually(lambda: tx.statistics().num_peers == 1)
            body = bytes(range(256)) * 4096
            for _ in range(32):
                tx.send_nowait(body)
            for _ in range(32):
                assert peer.frame()[1] == body


async def test_messages_that_came_meanwhile_are_there_afterwards(
    backend: ModuleType, any_loop: str
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL, hwm_messages=1000)
        with blocking_peer(rx.bind(TCP), b"PUSH") as peer:
            peer.sock.sendall(b"".join(frame(b"%d" % i) for i in range(500)))
            peer.sock.sendall(command(b"PING", b"\0\0all"))
            assert peer.frame() == (4, b"\x04PONGall")
            # None of these calls reads from a descriptor: all was received already.
            received = rx.recv_many_nowait(1000)
            assert received == [b"%d" % index for index in range(500)]


async def test_receiving_stops_at_the_marks(backend: ModuleType) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL, hwm_messages=10)
        with blocking_peer(rx.bind(TCP), b"PUSH") as peer:
            peer.sock.sendall(command(b"PING", b"\0\0") + frame(b"x") * 1000)
            assert peer.frame() == (4, b"\x04PONG")
            busily_until(lambda: rx.statistics().num_recv_queued == 10)
            # Behind the marks nothing is read, and so nothing answered.
            peer.sock.sendall(command(b"PING", b"\0\0late"))
            assert rx.statistics().num_recv_queued == 10
            received = [await rx.recv() for _ in range(1000)]
            assert received == [b"x"] * 1000
            assert peer.frame() == (4, b"\x04PONGlate")


async def test_connector_connects_again_while_the_owner_blocks(
    backend: ModuleType,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        async with backend.Context(io_thread=True) as ctx:
            tx = ctx.socket(backend.PUSH, reconnect_interval=0.01, linger=0)
            tx.connect(endpoint)
            for _ in range(3):
                with accepted(server, b"PULL"):
                    pass
            with accepted(server, b"PULL") as peer:
                await tx.send(b"to the fourth")
                assert peer.frame() == (0, b"to the fourth")


async def test_monitor_holds_what_happened_meanwhile(backend: ModuleType) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        monitor = rx.monitor()
        with blocking_peer(rx.bind(TCP), b"PUSH"):
            pass
        kinds = [(await anext(monitor)).kind for _ in range(4)]
        assert kinds == ["listening", "accepted", "connected", "disconnected"]


@contextmanager
def sender(endpoint: str, messages: list[bytes]) -> Iterator[None]:
    """Send these messages from another thread."""

    def run() -> None:
        with blocking_peer(endpoint, b"PUSH") as peer:
            for message in messages:
                peer.sock.sendall(frame(message))
            # Until the other side has read all.
            peer.sock.sendall(command(b"PING", b"\0\0"))
            peer.frame()

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()


async def test_task_is_woken_by_what_the_thread_received(
    backend: ModuleType, any_loop: str
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(TCP)
        waiting = asyncio.ensure_future(rx.recv_multipart())
        await asyncio.sleep(0)
        with sender(endpoint, [b"x"]):
            assert await waiting == [b"x"]


async def test_many_tasks_share_what_comes(backend: ModuleType, any_loop: str) -> None:
    messages = [b"%d" % index for index in range(300)]
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(TCP)
        taken: list[bytes] = []

        async def take() -> None:
            for _ in range(15):
                taken.append(await rx.recv())

        tasks = [asyncio.create_task(take()) for _ in range(20)]
        with sender(endpoint, messages):
            await asyncio.gather(*tasks)
        assert sorted(taken) == sorted(messages)


async def test_tasks_that_wait_for_room_are_woken(
    backend: ModuleType, any_loop: str
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=2)
        rx = ctx.socket(backend.PULL, hwm_messages=2)
        tx.connect(rx.bind(TCP))

        async def send(index: int) -> None:
            for _ in range(20):
                await tx.send(b"%d" % index * 10_000)

        tasks = [asyncio.create_task(send(index)) for index in range(10)]
        received = [await rx.recv() for _ in range(200)]
        await asyncio.gather(*tasks)
        assert sorted(received) == sorted(
            b"%d" % i * 10_000 for i in range(10) for _ in range(20)
        )


async def test_cancelled_tasks_lose_nothing(backend: ModuleType, any_loop: str) -> None:
    messages = [b"%d" % index for index in range(500)]
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(TCP)
        taken: list[bytes] = []

        async def take() -> None:
            # What a task has taken is noted before it can be cancelled again.
            taken.append(await rx.recv())

        with sender(endpoint, messages):
            num_turns = 0
            while len(taken) < len(messages):
                tasks = [asyncio.create_task(take()) for _ in range(3)]
                await asyncio.sleep(0)
                tasks[num_turns % 3].cancel()
                num_turns += 1
                await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
                if num_turns % 2:
                    await asyncio.sleep(0)
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
        assert taken == messages


async def test_idle_loop_is_left_alone_by_what_concerns_no_task(
    backend: ModuleType,
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(TCP)
        await asyncio.sleep(0)
        with blocking_peer(endpoint, b"PUSH") as peer:
            for _ in range(20):
                peer.sock.sendall(command(b"PING", b"\0\0"))
                peer.frame()
        assert select.select([ctx.fileno()], [], [], 0)[0] == []


async def test_run_once_ends_for_what_came_before_it(backend: ModuleType) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        with blocking_peer(rx.bind(TCP), b"PUSH") as peer:
            peer.sock.sendall(frame(b"x") + command(b"PING", b"\0\0"))
            peer.frame()
            begun = time.monotonic()
            ctx.run_once(PATIENCE_SECONDS)
            assert time.monotonic() - begun < PATIENCE_SECONDS / 2
            assert rx.recv_nowait() == b"x"


async def test_blocking_calls_are_for_owners_in_a_loop_too(
    backend: ModuleType,
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        with sender(rx.bind(TCP), [b"first", b"second"]):
            assert rx.recv_blocking(timeout=PATIENCE_SECONDS) == b"first"
            poller = Poller(ctx)
            poller.register(rx, POLLIN)
            assert poller.poll(PATIENCE_SECONDS) == [(rx, POLLIN)]
            assert rx.recv_nowait() == b"second"


async def test_context_of_a_thread_closes_after_its_linger(
    backend: ModuleType, any_loop: str
) -> None:
    ctx = backend.Context(io_thread=True)
    tx = ctx.socket(backend.PUSH, linger=None)
    with blocking_peer(tx.bind(TCP), b"PULL") as peer:
        await eventually(lambda: tx.statistics().num_peers == 1)
        for _ in range(16):
            tx.send_nowait(bytes(1 << 20))
        closing = asyncio.create_task(asyncio.wait_for(ctx.aclose(), 30))

        def read() -> int:
            return sum(len(peer.frame()[1]) for _ in range(16))

        assert await asyncio.to_thread(read) == 16 << 20
        peer.close()
        await closing
    busily_until(lambda: num_io_threads() == 0)


def test_blocking_calls_wait_for_the_thread(backend: ModuleType) -> None:
    with backend.Context(io_thread=True) as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH, hwm_messages=2)
        tx.connect(rx.bind(TCP))
        for _ in range(100):
            tx.send_blocking(b"x" * 100, timeout=20)
            assert rx.recv_blocking(timeout=20) == b"x" * 100
        with pytest.raises(WaitTimeoutError):
            rx.recv_blocking(timeout=0.01)
        with pytest.raises(WaitTimeoutError):
            rx.recv_blocking(timeout=0)


def test_blocking_sender_is_told_of_room(backend: ModuleType) -> None:
    with backend.Context(io_thread=True) as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=1)
        received: list[int] = []

        def receive(endpoint: str) -> None:
            with blocking_peer(endpoint, b"PULL") as peer:
                received.extend(len(peer.frame()[1]) for _ in range(50))

        reading = threading.Thread(target=receive, args=[tx.bind(TCP)])
        reading.start()
        for _ in range(50):
            tx.send_blocking(bytes(1 << 20), timeout=20)
        reading.join()
        assert received == [1 << 20] * 50


def test_waiting_burns_no_processor(backend: ModuleType) -> None:
    with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        with sender(rx.bind(TCP), [b"x"]):
            assert rx.recv_blocking(timeout=20) == b"x"
        begun = time.process_time()
        with pytest.raises(WaitTimeoutError):
            rx.recv_blocking(timeout=0.5)
        assert time.process_time() - begun < 0.25


def test_wait_whose_time_is_over_ends_at_once() -> None:
    bell = Bell()
    try:
        wait_readable(bell.fileno(), -1.0)
    finally:
        bell.close()


def test_descriptor_is_readable_when_there_is_work(backend: ModuleType) -> None:
    with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(TCP)
        assert rx.fileno() == ctx.fileno()
        with blocking_peer(endpoint, b"PUSH") as peer:
            peer.sock.sendall(frame(b"x"))
            received = None
            while received is None:
                assert select.select([ctx.fileno()], [], [], PATIENCE_SECONDS)[0]
                # It stays so until the owner attends to it.
                assert select.select([ctx.fileno()], [], [], 0)[0]
                ctx.run_once()
                received = rx.recv_nowait()
            assert received == b"x"


def test_run_once_ends_when_something_happened(backend: ModuleType) -> None:
    with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        with blocking_peer(rx.bind(TCP), b"PUSH") as peer:
            peer.sock.sendall(frame(b"x"))
            while (received := rx.recv_nowait()) is None:
                ctx.run_once(None)
            assert received == b"x"


def test_messages_between_sockets_of_the_context_are_moved(
    backend: ModuleType,
) -> None:
    with backend.Context(io_thread=True) as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind("inproc://a"))
        message = b"the very object"
        tx.send_blocking(message, timeout=20)
        assert rx.recv_blocking(timeout=20) is message


def test_thread_is_named_and_ends_with_the_context(backend: ModuleType) -> None:
    busily_until(lambda: num_io_threads() == 0)
    first = backend.Context(io_thread=True)
    second = backend.Context(io_thread=True)
    busily_until(lambda: num_io_threads() == 2)
    first.close()
    busily_until(lambda: num_io_threads() == 1)
    first.close()
    second.close()
    busily_until(lambda: num_io_threads() == 0)
    with pytest.raises(ClosedError):
        first.socket(backend.PULL)


def test_no_thread_is_started_unless_asked_for(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        ctx.socket(backend.PULL).bind(TCP)
        busily_until(lambda: num_io_threads() == 0)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_forgotten_context_takes_its_thread_along(
    backend: ModuleType, own_port: int
) -> None:
    ctx = backend.Context(io_thread=True)
    rx = ctx.socket(backend.PULL)
    endpoint = rx.bind(f"tcp://127.0.0.1:{own_port}")
    gone = weakref.ref(ctx) if backend.BACKEND == "python" else None
    del ctx, rx
    gc.collect()
    assert gone is None or gone() is None
    busily_until(lambda: num_io_threads() == 0)
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))


def test_second_owner_amid_a_blocking_call_is_refused(backend: ModuleType) -> None:
    with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        endpoint = rx.bind(TCP)
        outcomes: list[BaseException | None] = []

        def intrude() -> None:
            while not isinstance(outcome := outcome_in_thread(ctx.run_once), Exception):
                continue
            outcomes.append(outcome)
            with sender(endpoint, [b"done"]):
                pass

        thread = threading.Thread(target=intrude)
        thread.start()
        while True:
            try:
                assert rx.recv_blocking(timeout=20) == b"done"
                break
            except LocalProtocolError:
                # The other thread came first this time.
                continue
        thread.join()
        assert isinstance(outcomes[0], LocalProtocolError)


def test_owners_may_take_turns(backend: ModuleType) -> None:
    with backend.Context(io_thread=True) as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind(TCP))
        assert outcome_in_thread(lambda: tx.send_blocking(b"x", timeout=20)) is None
        assert rx.recv_blocking(timeout=20) == b"x"


async def test_context_of_a_running_loop_is_not_for_another_loop(
    backend: ModuleType,
) -> None:
    async with backend.Context(io_thread=True) as ctx:
        rx = ctx.socket(backend.PULL)
        rx.bind(TCP)

        def use_in_a_loop() -> None:
            async def use() -> None:
                await rx.recv()

            asyncio.run(use())

        error = await asyncio.to_thread(outcome_in_thread, use_in_a_loop)
        assert isinstance(error, LocalProtocolError)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    "name", ["send_nowait", "recv_blocking", "run_once", "socket", "close"]
)
def test_forked_child_may_not_use_the_context(backend: ModuleType, name: str) -> None:
    with backend.Context(io_thread=True) as ctx:
        rx, tx = ctx.socket(backend.PULL), ctx.socket(backend.PUSH)
        tx.connect(rx.bind(TCP))
        calls: dict[str, Callable[[], Any]] = {
            "send_nowait": lambda: tx.send_nowait(b"x"),
            "recv_blocking": lambda: rx.recv_blocking(timeout=0),
            "run_once": ctx.run_once,
            "socket": lambda: ctx.socket(backend.PULL),
            "close": ctx.close,
        }
        assert outcome_in_child(calls[name]) == 0
        tx.send_blocking(b"the parent goes on", timeout=20)
        assert rx.recv_blocking(timeout=20) == b"the parent goes on"


def test_full_queue_is_told_at_once(backend: ModuleType) -> None:
    with backend.Context(io_thread=True) as ctx:
        tx = ctx.socket(backend.PUSH, hwm_messages=1, linger=0)
        tx.bind(TCP)
        tx.send_nowait(b"waits for a peer")
        with pytest.raises(FullError):
            tx.send_nowait(b"x")


def test_two_contexts_under_load_from_both_sides(backend: ModuleType) -> None:
    with backend.Context(io_thread=True) as one, backend.Context(io_thread=True) as two:
        rx, tx = one.socket(backend.PULL), two.socket(backend.PUSH)
        tx.connect(rx.bind(TCP))
        messages = [b"%d" % index for index in range(5000)]

        def send() -> None:
            for message in messages:
                tx.send_blocking(message, timeout=20)

        thread = threading.Thread(target=send)
        thread.start()
        received = [rx.recv_blocking(timeout=20) for _ in messages]
        thread.join()
        assert received == messages
