"""An echo server with processes of its own."""

import os
import signal
from typing import Any

import pytest
from tests.endpoint.echo.asking import CHAT, ask

from busduct.endpoint.echo import EchoConfig, EchoServer
from busduct.errors import WorkerDiedError, WorkerStartError

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture(params=["max", "variable"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


def server(mode: Any, num_processes: int) -> EchoServer:
    return EchoServer(EchoConfig(mode=mode, num_processes=num_processes))


async def test_processes_share_the_port(any_loop: str, mode: Any) -> None:
    async with server(mode, 2) as echo:
        assert len(set(echo.pids)) == 2
        for _ in range(20):
            assert (await ask(echo.port, CHAT)).status == 200
    for pid in echo.pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_death_of_a_process_is_told() -> None:
    async with server("max", 2) as echo:
        os.kill(echo.pids[1], signal.SIGKILL)
        with pytest.raises(WorkerDiedError, match=r"echo-server-1 died.*-9"):
            await echo.wait_died()
        # The kernel gives new connections to the other alone.
        for _ in range(20):
            assert (await ask(echo.port, CHAT)).status == 200


async def test_process_that_does_not_come_up_is_told(
    any_loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "busduct.endpoint.echo._server._CHILD", ["-c", "raise SystemExit('no luck')"]
    )
    with pytest.raises(WorkerStartError, match=r"echo-server-. did not start: no luck"):
        await server("max", 2).start()
