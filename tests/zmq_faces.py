"""What the tests of `zmq_compat` share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from busduct._backend import load_backend
from busduct.transport import zmq_compat as zmq

TIMEOUT_MS = 20_000


@contextmanager
def context_of(
    backend: str, monkeypatch: pytest.MonkeyPatch, face: type = zmq.Context
) -> Iterator[zmq.Context[Any]]:
    """Give a context on a backend, destroyed in the end.

    Its sockets linger not at all and fail after 20 s instead of hanging.
    """
    monkeypatch.setenv("BUSDUCT_BACKEND", backend)
    try:
        load_backend()
    except ModuleNotFoundError:
        pytest.skip("the extension is not built")
    kept = []

    class Keeping(face):  # type: ignore[misc]
        """Holds its sockets, so that a test need not close them."""

        def socket(self, *arguments: Any, **options: Any) -> Any:
            kept.append(super().socket(*arguments, **options))
            return kept[-1]

    context = Keeping()
    context.linger = 0
    context.rcvtimeo = context.sndtimeo = TIMEOUT_MS
    try:
        yield context
    finally:
        context.destroy()


def join(
    context: zmq.Context[Any], binding: int, connecting: int
) -> tuple[zmq.Socket, zmq.Socket]:
    """Open a socket that is bound and one that is connected to it."""
    bound, connected = context.socket(binding), context.socket(connecting)
    port = bound.bind_to_random_port("tcp://127.0.0.1")
    connected.connect(f"tcp://127.0.0.1:{port}")
    return bound, connected


def number_of(call: Callable[..., object], *arguments: object) -> int | None:
    """Return the number of the error that a call raises."""
    with pytest.raises(zmq.ZMQError) as caught:
        call(*arguments)
    return caught.value.errno
