"""Two sockets of one context, joined over each transport in turn."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.transport.waiting import turn_until

WAYS = ["inproc", "ipc", "ipc through the kernel", "tcp"]


@contextmanager
def joined(
    backend: ModuleType,
    way: str,
    directory: Path,
    *,
    kinds: tuple[str, str] = ("PUSH", "PULL"),
    io_thread: bool = False,
    **options: Any,
) -> Iterator[tuple[Any, Any]]:
    """Give a socket that connects and one that is bound, with `options` of both."""
    endpoint = {"inproc": "inproc://a", "tcp": "tcp://127.0.0.1:0"}
    shm = "off" if way == "ipc through the kernel" else "auto"
    with backend.Context(shm=shm, io_thread=io_thread) as ctx:
        tx, rx = (ctx.socket(getattr(backend, kind), **options) for kind in kinds)
        tx.connect(rx.bind(endpoint.get(way, f"ipc://{directory}/a")))
        turn_until(ctx, lambda: tx.statistics().num_peers)
        turn_until(ctx, lambda: rx.statistics().num_peers)
        yield tx, rx


def filled(sock: Any, content: bytes) -> Any:
    """Return a loan of a socket that holds `content`."""
    loan = sock.loan(len(content))
    with memoryview(loan) as view:
        view[:] = content
    return loan
