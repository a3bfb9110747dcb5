"""Fixtures of the transport's behaviour tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.zmq_faces import context_of

from busduct.transport import zmq_compat as zmq


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """Hold every test of this directory to what `no_leaks` asks."""


@pytest.fixture
def shared_memory() -> None:
    """Skip a test of what only shared memory can do where it is switched off."""
    if os.environ.get("BUSDUCT_SHM") == "off":
        pytest.skip("BUSDUCT_SHM is off")


@pytest.fixture(params=["ipc", "tcp"])
def address(request: pytest.FixtureRequest, ipc_dir: Path, own_port: int) -> str:
    """Give an endpoint to bind to, of each transport in turn.

    It is nobody else's while no socket listens there: a test may bind it again.
    """
    is_ipc = request.param == "ipc"
    return f"ipc://{ipc_dir}/a" if is_ipc else f"tcp://127.0.0.1:{own_port}"


@pytest.fixture(params=["ipc", "tcp"])
def publisher_address(request: pytest.FixtureRequest, ipc_dir: Path) -> str:
    """Give an endpoint for a publisher, which takes a second one next to it."""
    return f"ipc://{ipc_dir}/a" if request.param == "ipc" else "tcp://127.0.0.1:0"


@pytest.fixture
def ipc(ipc_dir: Path) -> Callable[[str], str]:
    """Give ipc endpoints by name."""
    return lambda name: f"ipc://{ipc_dir}/{name}"


@pytest.fixture(params=["rust", "python"])
def zmq_context(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[zmq.Context]:
    """Give a context of `zmq_compat` on each backend in turn."""
    with context_of(request.param, monkeypatch) as context:
        yield context
