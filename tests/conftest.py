"""Fixtures of every test: both backends, both event loops, and nothing left behind."""

import asyncio
import gc
import inspect
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from busduct._backend import load_backend
from busduct.transport._runtime_dir import base_directory

# On a busy machine examples may take long, and their making, without being wrong.
settings.register_profile(
    "busduct", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busduct")

# Generous: it only turns a test that hangs into one that says where.
ASYNC_TEST_SECONDS = 110.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests, on the loop that `any_loop` names if they ask for it."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names}

    async def bounded() -> None:
        async with asyncio.timeout(ASYNC_TEST_SECONDS):
            await pyfuncitem.obj(**arguments)

    is_uvloop = pyfuncitem.funcargs.get("any_loop") == "uvloop"
    factory = uvloop.new_event_loop if is_uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(bounded())
    return True


@pytest.fixture(params=["asyncio", "uvloop"])
def any_loop(request: pytest.FixtureRequest) -> str:
    """Run the test once on each event loop."""
    return str(request.param)


@pytest.fixture(params=["rust", "python"])
def backend(request: pytest.FixtureRequest) -> ModuleType:
    """Run the test once on each backend; CI must have both."""
    return _built(request.param)


@pytest.fixture
def rust() -> ModuleType:
    """Give the native backend, of what the other does not have."""
    return _built("rust")


def _built(name: str) -> ModuleType:
    try:
        return load_backend(name)
    except ModuleNotFoundError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("the extension is not built")


@pytest.fixture(scope="session")
def _uvloop_is_warm() -> None:
    """Have uvloop open what it keeps for the life of the process."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.sleep(0))


@pytest.fixture
def no_leaks(_uvloop_is_warm: None) -> Iterator[None]:
    """Fail a test that leaves behind what a process that closes all gives back.

    That is descriptors, child processes, shared memory, and files that have a name in
    /dev/shm or in the runtime directory.
    """
    before, children = _held(), _children()

    def left() -> dict[str, str]:
        return {key: what for key, what in _held().items() if key not in before}

    yield
    assert _children() <= children, "child processes are left"
    # Collecting takes longer than most tests do: only where it may matter.
    if found := left():
        gc.collect()
        found = left()
    assert not found, f"left behind: {sorted(found.values())}"


@pytest.fixture
def ipc_dir() -> Iterator[Path]:
    """Give a short path, and fail a test that leaves sockets in it."""
    with tempfile.TemporaryDirectory(prefix="bd-") as name:
        yield Path(name)
        left = [path for path in Path(name).iterdir() if _is_socket(path)]
        assert not left, f"socket files are left: {left}"


@pytest.fixture
def own_port() -> Iterator[int]:
    """Give a TCP port of this host at which only the test itself can listen.

    It is bound, without listening: connections are refused, who asks for that port can
    listen there (with SO_REUSEADDR), and who asks for any port never gets it. A port
    that is only known to have been free may be somebody's by the time it is used.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def _is_socket(path: Path) -> bool:
    return stat.S_ISSOCK(path.lstat().st_mode)


def _held() -> dict[str, str]:
    """Tell what is held, by what tells it from all else."""
    return _open_fds() | _shared_maps() | _named_files()


def _open_fds() -> dict[str, str]:
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[f"descriptor {fd}"] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            # The descriptor of the listing itself.
            continue
    return fds


def _shared_maps() -> dict[str, str]:
    maps = Path("/proc/self/maps").read_bytes()
    if b"memfd:busduct" not in maps:
        return {}
    lines = [line for line in maps.decode().splitlines() if "memfd:busduct" in line]
    # Address, access, offset, device, inode, name: the inode is the memory's own.
    return {f"shared memory {line.split()[4]}": line for line in lines}


def _named_files() -> dict[str, str]:
    """List those that are ours: others on this machine may run busduct too."""
    instances = base_directory().glob(f"{os.getpid()}-*")
    segments = Path("/dev/shm").glob("*busduct*")
    return {f"file {path}": str(path) for path in (*instances, *segments)}


def _children() -> set[str]:
    children: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        # NB: a joined thread may still be listed, and be gone when it is read.
        with suppress(FileNotFoundError, ProcessLookupError):
            children.update((task / "children").read_text().split())
    return children
