"""Fixtures of the tests against libzmq."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.interop.libzmq import Foreign


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """Hold every test of this directory to what `no_leaks` asks."""


@pytest.fixture
def ipc_dir() -> Iterator[Path]:
    """Give a short path where sockets may be left: libzmq never removes its own."""
    with tempfile.TemporaryDirectory(prefix="bd-") as name:
        yield Path(name)


@pytest.fixture
def foreign(_nothing_left: None, ipc_dir: Path) -> Iterator[Foreign]:
    """Give libzmq's sockets, closed while the directory of their files is there."""
    foreign = Foreign()
    yield foreign
    foreign.close()


@pytest.fixture(params=["ipc", "tcp"])
def address(request: pytest.FixtureRequest, ipc_dir: Path) -> str:
    """Give an endpoint that either library can bind, of each transport in turn."""
    return f"ipc://{ipc_dir}/a" if request.param == "ipc" else "tcp://127.0.0.1:0"


@pytest.fixture(params=["ours binds", "libzmq binds"])
def ours_binds(request: pytest.FixtureRequest) -> bool:
    """Let either side bind, in turn."""
    return bool(request.param == "ours binds")
