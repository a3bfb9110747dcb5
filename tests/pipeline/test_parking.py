"""Where a process sleeps until there is something to do."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from busduct.pipeline._parking import Parking
from busduct.transport import PULL, PUSH, Context, get_zmq_socket

TIMEOUT = 50.0


@pytest.fixture
def parking() -> Iterator[tuple[Parking, Context, int]]:
    """A parking, its context, and the end of the pipe that the parent would hold."""
    read_end, write_end = os.pipe()
    with Context() as context, Parking(context, read_end) as parking:
        yield parking, context, write_end
    os.close(read_end)
    if write_end_is_open(write_end):
        os.close(write_end)


def write_end_is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_end_of_the_parent_ends_the_wait(parking: tuple[Parking, Context, int]) -> None:
    parked, _, write_end = parking
    os.close(write_end)
    with pytest.raises(SystemExit):
        parked.wait()


def test_request_to_end_wakes_and_is_remembered(
    parking: tuple[Parking, Context, int],
) -> None:
    parked, _, _ = parking
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        parked.handle_signals()
        os.kill(os.getpid(), signal.SIGINT)
        assert not parked.ending
        os.kill(os.getpid(), signal.SIGTERM)
        parked.wait()
        assert parked.ending
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def test_message_wakes(parking: tuple[Parking, Context, int], ipc_dir: Path) -> None:
    parked, context, _ = parking
    endpoint = f"ipc://{ipc_dir}/s"
    inbox = get_zmq_socket(context, PULL, endpoint, bind=True)
    with Context() as other:
        sender = get_zmq_socket(other, PUSH, endpoint, bind=False)
        sender.send_nowait(b"wake")
        message = None
        while message is None:
            other.run_once(0.0)
            context.run_once(0.0)
            message = inbox.recv_nowait()
            if message is None:
                parked.wait(connected=False)
    assert message == b"wake"
    inbox.close()


def test_wait_for_a_peer_returns_to_try_again(
    parking: tuple[Parking, Context, int],
) -> None:
    parked, _, _ = parking
    parked.wait(connected=False)
