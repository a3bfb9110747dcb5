"""Another member serves when the one that did is closed, killed or stopped."""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import ModuleType

import pytest
from tests.fmq.directory_parties import Parties, parties
from tests.transport.waiting import eventually

from busduct.fmq._directory import _links, _server
from busduct.transport._zmq import SocketOptions

TAKEOVER_SECONDS = 1.0

# A member in a process of its own, until a line comes.
_MEMBER = """
import asyncio, sys
from busduct._backend import load_backend
from tests.fmq.directory_parties import parties

async def main(address, number):
    async with parties(load_backend(), address) as those:
        await those.registered(number)
        print("up", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


@asynccontextmanager
async def member_process(
    backend: ModuleType, those: Parties, number: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Give a process that is a member; it is killed in the end if it lives."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", _MEMBER, those.address, str(number)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(sys.path)}
        | {"BUSDUCT_BACKEND": backend.BACKEND},
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"up\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_others_serve_as_members_close(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with parties(backend, address) as those:
        those.watch()
        await those.registered(*range(5))
        while len(those.members) > 1:
            (server,) = those.serving()
            those.leave(server)
            await eventually(lambda: len(those.serving()) == 1)
            await those.all_told()
            for member in those.members.values():
                await member.wait_registered()


async def test_many_that_start_at_once_find_each_other(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with parties(backend, address) as those:
        for number in range(30):
            those.register(number)
            if number % 10 == 0:
                those.watch()
        await asyncio.gather(*(m.wait_registered() for m in those.members.values()))
        await those.all_told()
        assert len(those.serving()) == 1


async def test_many_that_come_and_go_settle_on_one_server(
    backend: ModuleType, address: str
) -> None:
    rng = random.Random(20)
    async with parties(backend, address) as those:
        those.watch()
        for turn in range(150):
            if len(those.members) > 3 and rng.random() < 0.5:
                those.leave(rng.choice([*those.members]))
            else:
                those.register(turn)
            await asyncio.sleep(rng.choice([0, 0, 0.001, 0.03]))
        await asyncio.gather(*(m.wait_registered() for m in those.members.values()))
        await those.all_told()
        assert len(those.serving()) == 1
        assert not any(m.recent_errors() for m in those.members.values())


async def test_killed_server_is_replaced(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with (
        parties(backend, address) as those,
        member_process(backend, those, 100) as process,
    ):
        await those.registered(1, 2, 3)
        those.watch()
        await eventually(lambda: those.told[0] and len(those.told[0][-1]) == 4)
        assert not those.serving()
        process.kill()
        await eventually(lambda: len(those.serving()) == 1)
        await those.all_told()


def test_another_server_is_found_within_a_second() -> None:
    # It takes longer where a machine does much else, but not because clients wait: one
    # comes to the free address at the first attempt, the others find it at the second.
    assert 2 * _links.CLIENT_OPTIONS["reconnect_max"] < TAKEOVER_SECONDS


async def test_registered_member_that_is_killed_is_forgotten(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as those:
        await those.registered(1)
        those.watch()
        async with member_process(backend, those, 100) as process:
            await eventually(lambda: those.told[0] and len(those.told[0][-1]) == 2)
            process.kill()
            await those.all_told()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients soon take a server that says nothing for a stopped one."""
    options: SocketOptions = {
        **_links.CLIENT_OPTIONS,
        "heartbeat_interval": 0.1,
        # Longer than a machine that does much else holds up a process that lives.
        "heartbeat_timeout": 1.5,
    }
    monkeypatch.setattr("busduct.fmq._directory._session.CLIENT_OPTIONS", options)
    monkeypatch.setattr(_server, "CHECK_SECONDS", 0.1)


@pytest.mark.parametrize("address", ["ipc"], indirect=True)
async def test_stopped_server_is_replaced_and_follows_once_it_goes_on(
    backend: ModuleType, any_loop: str, address: str, impatient: None
) -> None:
    async with (
        parties(backend, address) as those,
        member_process(backend, those, 100) as process,
    ):
        await those.registered(1, 2)
        those.watch()
        await eventually(lambda: those.told[0] and len(those.told[0][-1]) == 3)
        process.send_signal(signal.SIGSTOP)
        await eventually(lambda: len(those.serving()) == 1)
        await those.all_told()
        process.send_signal(signal.SIGCONT)
        await eventually(lambda: len(those.told[0][-1]) == 3)
        assert len(those.serving()) == 1
        await those.registered(3)
        await eventually(lambda: len(those.told[0][-1]) == 4)


@pytest.mark.parametrize("address", ["ipc"], indirect=True)
async def test_server_whose_socket_file_is_removed_makes_another(
    backend: ModuleType, address: str, impatient: None
) -> None:
    async with parties(backend, address) as those:
        await those.registered(1, 2)
        os.unlink(address.removeprefix("ipc://"))
        await those.registered(3)
        # It notices when somebody leaves.
        those.leave(2)
        those.watch()
        await those.all_told()
        assert len(those.serving()) == 1
