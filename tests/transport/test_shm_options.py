"""What a context is told of shared memory is checked, and what it has is told."""

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from busduct.errors import ConfigError
from busduct.statistics import ContextStatistics

NOTHING = ContextStatistics(
    num_shm_peers=0,
    num_shm_refused=0,
    shm_ring_bytes=0,
    shm_arena_bytes=0,
    num_shm_segments=0,
    num_shm_slots_held=0,
)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shm", "on"),
        ("shm", ""),
        ("shm_max_bytes", 0),
        ("shm_max_bytes", -1),
        ("shm_ring_bytes", 0),
        ("shm_ring_bytes", -4096),
        ("shm_ring_bytes", 2048),
        ("shm_ring_bytes", 4097),
        ("shm_ring_bytes", 32 << 20),
        ("shm_ring_bytes", 1 << 70),
        ("spin_us", -1),
        ("spin_us", 1_000_001),
        ("spin_us", 1 << 70),
    ],
)
def test_value_out_of_range_is_refused_by_name(
    backend: ModuleType, name: str, value: Any
) -> None:
    with pytest.raises(ConfigError, match=f"^{name} "):
        backend.Context(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shm", True),
        ("shm", None),
        ("shm_max_bytes", "1"),
        ("shm_ring_bytes", 4096.0),
        ("shm_ring_bytes", None),
        ("spin_us", 0.5),
    ],
)
def test_value_of_another_type_is_a_type_error(
    backend: ModuleType, name: str, value: Any
) -> None:
    with pytest.raises(TypeError):
        backend.Context(**{name: value})


@pytest.mark.parametrize(
    "options",
    [
        {"shm": "off"},
        {"shm_max_bytes": 1},
        {"shm_max_bytes": 1 << 70},
        {"shm_ring_bytes": 4096},
        {"shm_ring_bytes": 16 << 20, "spin_us": 1_000_000},
    ],
)
def test_values_within_range_are_taken(
    backend: ModuleType, options: dict[str, Any]
) -> None:
    with backend.Context(**options) as ctx:
        tx, rx = ctx.socket(backend.PUSH, isolate=True), ctx.socket(backend.PULL)
        tx.connect(rx.bind("inproc://a"))
        tx.send_nowait(b"text")
        assert rx.recv_blocking(timeout=20) == b"text"


def test_shared_memory_is_required_in_vain_of_python(backend: ModuleType) -> None:
    if backend.BACKEND == "python":
        with pytest.raises(ConfigError, match="require"):
            backend.Context(shm="require")
    else:
        backend.Context(shm="require").close()


@pytest.mark.parametrize("mode", ["auto", "off", None])
def test_environment_says_the_default(
    backend: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    ipc_dir: Path,
    mode: str | None,
) -> None:
    if mode is None:
        # As all other tests find it: of a run that is told "off", it moves nothing.
        mode = os.environ.get("BUSDUCT_SHM", "auto")
    else:
        monkeypatch.setenv("BUSDUCT_SHM", mode)
    with backend.Context() as ctx:
        tx, rx = ctx.socket(backend.PUSH), ctx.socket(backend.PULL)
        tx.connect(rx.bind(f"ipc://{ipc_dir}/a"))
        tx.send_nowait(b"text")
        assert rx.recv_blocking(timeout=20) == b"text"
        moved = mode == "auto" and backend.BACKEND == "rust"
        assert ctx.statistics().num_shm_peers == (2 if moved else 0)


@pytest.mark.parametrize("mode", ["on", ""])
def test_environment_that_says_nonsense_is_refused_by_name(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("BUSDUCT_SHM", mode)
    with pytest.raises(ConfigError, match=f'^BUSDUCT_SHM is "{mode}"; '):
        backend.Context()
    # Who says it himself is not asked.
    backend.Context(shm="off").close()


def test_environment_requires_in_vain_of_python(
    backend: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUSDUCT_SHM", "require")
    if backend.BACKEND == "python":
        with pytest.raises(ConfigError, match="BUSDUCT_SHM"):
            backend.Context()
    else:
        backend.Context().close()


def test_context_without_peers_has_nothing_in_shared_memory(
    backend: ModuleType,
) -> None:
    with backend.Context() as ctx:
        assert ctx.statistics() == NOTHING
        ctx.socket(backend.PUSH).loan(1 << 20).release()
        assert ctx.statistics() == NOTHING
    assert ctx.statistics() == NOTHING
