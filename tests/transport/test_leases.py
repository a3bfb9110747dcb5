"""Leases: what came is looked at where it lies, for as long as a view is held."""

import asyncio
import gc
import io
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.transport.joined import WAYS, filled, joined
from tests.transport.waiting import turn_until

from busduct.errors import ClosedError, LocalProtocolError, WaitTimeoutError

BODY = bytes(range(256)) * 1000


def uses_of(lease: Any) -> list[Callable[[], Any]]:
    """Return each call of a lease that needs its memory."""
    return [
        partial(len, lease),
        partial(getattr, lease, "nbytes"),
        partial(getattr, lease, "is_shared"),
        lease.tobytes,
        partial(lease.split_texts, 4096),
        lease.as_numpy,
        partial(lease.__dlpack__, max_version=(1, 0)),
        lease.__dlpack_device__,
    ]


def connections() -> set[str]:
    """Return the sockets that this process has open."""
    fds = (Path(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))
    names = (str(fd.readlink()) for fd in fds if fd.is_symlink())
    return {name for name in names if name.startswith("socket:")}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("io_thread", [False, True])
def test_lease_holds_what_came(
    backend: ModuleType, way: str, ipc_dir: Path, io_thread: bool
) -> None:
    with joined(backend, way, ipc_dir, io_thread=io_thread) as (tx, rx):
        for body in (b"", b"small", BODY):
            tx.send_blocking(body)
            lease = rx.recv_lease_blocking(timeout=20)
            assert (len(lease), lease.nbytes) == (len(body), len(body))
            with memoryview(lease) as view:
                assert (view.format, view.ndim, view.readonly) == ("B", 1, True)
                assert view == body
            assert lease.tobytes() == body


@pytest.mark.parametrize("way", WAYS)
def test_each_part_is_a_lease(backend: ModuleType, way: str, ipc_dir: Path) -> None:
    kinds = ("DEALER", "ROUTER")
    with joined(backend, way, ipc_dir, kinds=kinds, routing_id=b"dealer") as (tx, rx):
        tx.send_multipart_blocking([b"", filled(tx, BODY), b"end"])
        leases = rx.recv_multipart_lease_blocking(timeout=20)
        assert [lease.tobytes() for lease in leases] == [b"dealer", b"", BODY, b"end"]
        rx.send_multipart_blocking([leases[0], leases[2], filled(rx, b"reply")])
        parts = tx.recv_multipart_lease_blocking(timeout=20)
        assert [part.tobytes() for part in parts] == [BODY, b"reply"]
        assert not any(lease.released for lease in leases)
        assert rx.recv_multipart_lease_nowait() is None


@pytest.mark.parametrize("way", WAYS)
def test_request_and_reply_are_leased(
    backend: ModuleType, way: str, ipc_dir: Path
) -> None:
    with joined(backend, way, ipc_dir, kinds=("REQ", "REP")) as (req, rep):
        req.send_blocking(filled(req, BODY))
        request = rep.recv_lease_blocking(timeout=20)
        rep.send_blocking(request)
        request.release()
        with req.recv_lease_blocking(timeout=20) as reply:
            assert reply.tobytes() == BODY


@pytest.mark.parametrize("way", WAYS)
def test_subscribers_hold_leases_of_their_own(
    backend: ModuleType, way: str, ipc_dir: Path
) -> None:
    with joined(backend, way, ipc_dir, kinds=("SUB", "PUB")) as (first, pub):
        first.subscribe(b"")
        pub.wait_subscribers_blocking(1, timeout=20)
        pub.send_blocking(filled(pub, BODY))
        pub.send_blocking(BODY)
        leases = [first.recv_lease_blocking(timeout=20) for _ in range(2)]
        leases[0].release()
        assert leases[1].tobytes() == BODY


def test_one_loan_goes_to_every_subscriber(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        pub = ctx.socket(backend.PUB)
        pub.bind("inproc://a")
        subs = [ctx.socket(backend.SUB) for _ in range(3)]
        for sub in subs:
            sub.connect("inproc://a")
            sub.subscribe(b"")
        pub.wait_subscribers_blocking(3, timeout=20)
        pub.send_blocking(filled(pub, BODY))
        leases = [sub.recv_lease_blocking(timeout=20) for sub in subs]
        leases[0].release()
        assert [lease.tobytes() for lease in leases[1:]] == [BODY, BODY]


@pytest.mark.parametrize("way", WAYS)
def test_views_outlive_lease_socket_and_context(
    backend: ModuleType, way: str, ipc_dir: Path
) -> None:
    with joined(backend, way, ipc_dir) as (tx, rx):
        for body in (filled(tx, BODY), BODY):
            tx.send_blocking(body)
        views = [memoryview(rx.recv_lease_blocking(timeout=20)) for _ in range(2)]
    del tx, rx
    gc.collect()
    assert [view.tobytes() for view in views] == [BODY, BODY]
    views.clear()


def test_lease_that_was_released_is_closed(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://a"))
        tx.send_nowait(b"text")
        lease = rx.recv_lease_blocking(timeout=20)
        assert not lease.released
        with lease:
            assert lease.tobytes() == b"text"
        assert lease.released
        for call in [
            *uses_of(lease),
            partial(tx.send, lease),
            partial(tx.send_nowait, lease),
            partial(tx.send_multipart_nowait, [b"", lease]),
        ]:
            with pytest.raises(ClosedError):
                call()
        lease.release()
        assert tx.statistics().num_send_queued == 0


def test_lease_of_which_a_view_is_held_is_not_released(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://a"))
        tx.send_nowait(b"text")
        lease = rx.recv_lease_blocking(timeout=20)
        view = memoryview(lease)
        if backend.BACKEND == "python":
            # It cannot tell, and the view stays valid all the same.
            lease.release()
            assert view == b"text"
            return
        with pytest.raises(BufferError), lease:
            lease.release()
        with pytest.raises(ZeroDivisionError), lease:
            assert view[1 // 0]
        assert not lease.released
        view.release()
        lease.release()


def test_lease_is_read_only(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://a"))
        tx.send_nowait(filled(tx, b"text"))
        lease = rx.recv_lease_blocking(timeout=20)
        with pytest.raises(TypeError):
            memoryview(lease)[0] = 1
        with pytest.raises((BufferError, TypeError)):
            io.BytesIO(b"other").readinto(lease)
        assert lease.tobytes() == b"text"
        lease.release()


def test_message_of_several_parts_stays_for_who_takes_parts(
    backend: ModuleType,
) -> None:
    with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://a"))
        tx.send_multipart_nowait([b"a", b"b"])
        for call in (rx.recv_lease_nowait, partial(rx.recv_lease_blocking, timeout=20)):
            with pytest.raises(LocalProtocolError):
                call()
        parts = rx.recv_multipart_lease_nowait()
        assert [part.tobytes() for part in parts] == [b"a", b"b"]


def test_nothing_to_lease_is_none_or_a_timeout(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        rx = ctx.socket(backend.PULL)
        assert rx.recv_lease_nowait() is None
        assert rx.recv_multipart_lease_nowait() is None
        for call in (rx.recv_lease_blocking, rx.recv_multipart_lease_blocking):
            with pytest.raises(WaitTimeoutError):
                call(timeout=0.01)


def test_who_cannot_receive_cannot_lease(backend: ModuleType) -> None:
    with backend.Context() as ctx:
        tx = ctx.socket(backend.PUSH)
        closed = ctx.socket(backend.PULL)
        closed.close()
        for sock, error in ((tx, LocalProtocolError), (closed, ClosedError)):
            for name in ("recv_lease", "recv_multipart_lease"):
                with pytest.raises(error):
                    getattr(sock, f"{name}_nowait")()
                with pytest.raises(error):
                    getattr(sock, f"{name}_blocking")(timeout=0)


async def test_cancelled_receive_loses_nothing(
    backend: ModuleType, any_loop: str
) -> None:
    async with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://a"))
        for receive in (rx.recv_lease, rx.recv_multipart_lease):
            waiting = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            waiting.cancel()
            await tx.send(b"text")
            with pytest.raises(asyncio.CancelledError):
                await waiting
            came = await receive()
            part = came[0] if isinstance(came, list) else came
            assert part.tobytes() == b"text"


@pytest.mark.parametrize("way", WAYS)
def test_lease_goes_on_and_stays_its_owners(
    backend: ModuleType, way: str, ipc_dir: Path
) -> None:
    with joined(backend, way, ipc_dir) as (tx, rx):
        for body in (b"small", BODY):
            tx.send_blocking(filled(tx, body))
            lease = rx.recv_lease_blocking(timeout=20)
            with memoryview(lease):
                tx.send_blocking(lease)
                assert tx.send_many_nowait([lease, lease]) == 2
            assert not lease.released
            lease.release()
            for _ in range(3):
                assert rx.recv_blocking(timeout=20) == body


def test_lease_is_released_or_dropped_by_any_thread(
    backend: ModuleType, ipc_dir: Path
) -> None:
    with joined(backend, "ipc", ipc_dir) as (tx, rx):
        for _ in range(4):
            tx.send_nowait(filled(tx, BODY))
        leases = [rx.recv_lease_blocking(timeout=20) for _ in range(4)]
        cycle: list[Any] = [leases.pop()]
        cycle.append(cycle)
        del cycle

        def let_go() -> None:
            leases.pop().release()
            leases.pop()
            gc.collect()

        thread = threading.Thread(target=let_go)
        thread.start()
        thread.join()
        assert leases.pop().tobytes() == BODY


@pytest.mark.usefixtures("shared_memory")
def test_released_slots_go_back(rust: ModuleType, ipc_dir: Path) -> None:
    with rust.Context() as ctx:
        tx, rx = ctx.socket(rust.PUSH), ctx.socket(rust.PULL)
        tx.connect(rx.bind(f"ipc://{ipc_dir}/a"))
        turn_until(ctx, lambda: ctx.statistics().num_shm_peers == 2)
        loan = filled(tx, BODY)
        assert loan.is_shared
        assert ctx.statistics().num_shm_slots_held == 1
        tx.send_nowait(loan)
        lease = rx.recv_lease_blocking(timeout=20)
        assert lease.is_shared
        view = memoryview(lease)
        del lease
        gc.collect()
        assert ctx.statistics().num_shm_slots_held == 1
        assert view == BODY
        view.release()
        turn_until(ctx, lambda: ctx.statistics().num_shm_slots_held == 0)
        tx.loan(100_000).release()
        assert ctx.statistics().num_shm_slots_held == 0


@pytest.mark.usefixtures("shared_memory")
def test_leases_of_each_other_keep_no_connection(
    rust: ModuleType, ipc_dir: Path
) -> None:
    with rust.Context() as one, rust.Context() as other:

        def both_until(condition: Callable[[], Any]) -> None:
            turn_until(one, lambda: other.run_once(0) or condition())

        before = connections()
        ends = one.socket(rust.PAIR), other.socket(rust.PAIR)
        ends[1].connect(ends[0].bind(f"ipc://{ipc_dir}/a"))
        both_until(lambda: all(end.statistics().num_peers for end in ends))
        for end in ends:
            end.send_nowait(filled(end, BODY))
        both_until(lambda: all(end.readable for end in ends))
        leases = [end.recv_lease_nowait() for end in ends]
        for end in ends:
            end.close()
        both_until(lambda: one.statistics().num_shm_peers == 0)
        assert [lease.tobytes() for lease in leases] == [BODY] * 2
        for lease in leases:
            assert connections() > before
            lease.release()
        both_until(lambda: connections() == before)


def test_bytes_are_leased_and_sent_on_as_the_very_object(rust: ModuleType) -> None:
    with rust.Context() as ctx:
        tx, rx = ctx.socket(rust.PUSH), ctx.socket(rust.PULL)
        tx.connect(rx.bind("inproc://a"))
        tx.send_nowait(BODY)
        lease = rx.recv_lease_blocking(timeout=20)
        assert lease.tobytes() is BODY
        tx.send_nowait(lease)
        assert rx.recv_blocking(timeout=20) is BODY
