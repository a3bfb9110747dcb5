"""A home for the queues of one test, and both backends."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def home(
    backend: ModuleType, ipc_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Give the directory below which everything named is made; it is left empty."""
    monkeypatch.setenv("BUSDUCT_BACKEND", backend.BACKEND)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(ipc_dir))
    monkeypatch.delenv("FMQ_CONFIG_JSON", raising=False)
    yield ipc_dir
    left = [path for path in ipc_dir.glob("busduct/fmq/*") if path.name != ".lock"]
    assert not left, f"files are left: {left}"
