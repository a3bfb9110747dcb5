"""Fixtures of the transport's behaviour tests."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """Hold every test of this directory to what `no_leaks` asks."""


@pytest.fixture(params=["ipc", "tcp"])
def address(request: pytest.FixtureRequest, ipc_dir: Path) -> str:
    """Give an endpoint to bind to, of each transport in turn."""
    return f"ipc://{ipc_dir}/a" if request.param == "ipc" else "tcp://127.0.0.1:0"


@pytest.fixture
def ipc(ipc_dir: Path) -> Callable[[str], str]:
    """Give ipc endpoints by name."""
    return lambda name: f"ipc://{ipc_dir}/{name}"
