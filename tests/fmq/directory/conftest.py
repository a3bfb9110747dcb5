"""Fixtures of the directory's tests."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _nothing_left(no_leaks: None) -> None:
    """Hold every test of this directory to what `no_leaks` asks."""


@pytest.fixture(params=["ipc", "tcp"])
def address(request: pytest.FixtureRequest, ipc_dir: Path, own_port: int) -> str:
    """Give an address that nobody has, of each transport in turn."""
    if request.param == "ipc":
        return f"ipc://{ipc_dir}/queue"
    return f"tcp://127.0.0.1:{own_port}"
