"""Both backends, in this process and in those that it starts."""

from types import ModuleType

import pytest


@pytest.fixture
def pool_backend(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test once on each backend, on both sides of the pool."""
    name: str = backend.BACKEND
    monkeypatch.setenv("BUSDUCT_BACKEND", name)
    return name
