"""Each kind of pool in turn, on each backend that has it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from busduct._backend import load_backend
from busduct.transport import (
    InprocWorkerPoolTransport,
    ShmWorkerPoolTransport,
    ZmqWorkerPoolTransport,
)

Pool = ZmqWorkerPoolTransport | ShmWorkerPoolTransport | InprocWorkerPoolTransport

KINDS: dict[str, type[Pool]] = {
    "zmq": ZmqWorkerPoolTransport,
    "shm": ShmWorkerPoolTransport,
    "inproc": InprocWorkerPoolTransport,
}
OF_ALL = ["rust-zmq", "rust-shm", "rust-inproc", "python-zmq", "python-inproc"]
OF_PROCESSES = ["rust-zmq", "rust-shm", "python-zmq"]


class Kind(NamedTuple):
    """What a test opens pools of."""

    type: type[Pool]
    backend: str

    def create(self, num_workers: int = 1, **overrides: Any) -> Pool:
        return self.type.create(
            asyncio.get_running_loop(), num_workers, None, **overrides
        )


def _kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    backend, name = request.param.split("-")
    if name == "shm":
        request.getfixturevalue("shared_memory")
    if backend == "rust":
        request.getfixturevalue("rust")
    monkeypatch.setenv("BUSDUCT_BACKEND", backend)
    assert backend == load_backend().BACKEND
    return Kind(KINDS[name], backend)


@pytest.fixture(params=OF_ALL)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Kind:
    """Give each kind of pool."""
    return _kind(request, monkeypatch)


@pytest.fixture(params=OF_PROCESSES)
def process_kind(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Kind:
    """Give each kind of pool whose workers may be processes."""
    return _kind(request, monkeypatch)


@pytest.fixture
def new_pool(kind: Kind) -> Iterator[Callable[..., Pool]]:
    """Create pools that are cleaned up after the test."""
    pools: list[Pool] = []

    def create(num_workers: int = 1, **overrides: Any) -> Pool:
        pools.append(kind.create(num_workers, **overrides))
        return pools[-1]

    yield create
    for pool in pools:
        pool.cleanup()
