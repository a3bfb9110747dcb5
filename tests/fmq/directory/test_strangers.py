"""An address where something else is found: members are told, and try again."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.fmq.directory_parties import Parties, endpoint_of, member_id, parties
from tests.transport.waiting import eventually

from busduct.errors import AuthError, HandshakeError
from busduct.fmq._directory import Registration, _links, _session
from busduct.fmq._directory._wire import (
    MemberList,
    Registered,
    Watch,
    encode,
    parse_hello,
)


@pytest.fixture
def ipc_address(ipc_dir: Path) -> str:
    """Give an address that nobody has."""
    return f"ipc://{ipc_dir}/queue"


@pytest.fixture
def plain_file(ipc_address: str) -> Path:
    """Give a file at that address."""
    path = Path(ipc_address.removeprefix("ipc://"))
    path.write_text("somebody's")
    return path


@pytest.fixture
def mute_listener(ipc_address: str) -> Iterator[Callable[[], bool]]:
    """Listen at that address and say nothing; tell whether the file is the same."""
    path = Path(ipc_address.removeprefix("ipc://"))
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(path))
        stranger.listen()
        inode = path.stat().st_ino
        yield lambda: path.stat().st_ino == inode
    path.unlink()


async def told_of(those: Parties, reason: str) -> None:
    """Wait until a member and a watcher know why they cannot take part."""
    watcher = those.watch()
    with pytest.raises(HandshakeError, match=reason):
        await those.register(1).wait_registered()
    await eventually(watcher.recent_errors)
    assert reason in str(watcher.recent_errors()[0])
    assert reason in str(those.members[1].recent_errors()[0])


async def test_address_of_another_queue_is_told_and_taken_once_it_is_free(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with parties(backend, address) as those:
        others = Parties(those.context, address, "answers")
        await others.registered(7)
        others.watch()
        await told_of(those, "this is the address of 'answers', not of 'prompts'")
        assert those.told == [[]]
        assert others.members[7].num_refused >= 2
        others.leave(7)
        await eventually(lambda: those.members[1].is_registered)
        await those.all_told()
        others.close()


async def test_socket_of_another_kind_is_told(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with parties(backend, address) as those:
        stranger = those.context.socket(backend.PULL)
        stranger.bind(address)
        await told_of(those, "DEALER does not speak with PULL")
        stranger.close()
        await eventually(lambda: those.members[1].is_registered)
        await those.all_told()


@asynccontextmanager
async def router(
    backend: ModuleType, those: Parties, say: Callable[[bytes], list[bytes]]
) -> AsyncIterator[Any]:
    """Have a ROUTER answer each message with what `say` makes of it."""
    sock = those.context.socket(backend.ROUTER)
    sock.bind(those.address)

    async def answer() -> None:
        while True:
            peer, *parts = await sock.recv_multipart()
            for message in say(parts[0]):
                sock.send_multipart_nowait([peer, message])

    task = asyncio.ensure_future(answer())
    try:
        yield sock
    finally:
        task.cancel()
        sock.close(0)
        await asyncio.wait({task})


async def test_server_that_talks_garbage_is_let_go_and_tried_again(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with parties(backend, address) as those:
        async with router(backend, those, lambda _: [b"\x31nonsense"]):
            await told_of(those, "speaks version 110 of the directory")
        await eventually(lambda: those.members[1].is_registered)
        await those.all_told()


async def test_waits_between_attempts_grow(
    backend: ModuleType, ipc_address: str
) -> None:
    loop = asyncio.get_running_loop()
    async with (
        parties(backend, ipc_address) as those,
        router(backend, those, lambda _: [b"nonsense"]) as sock,
    ):
        begun_at = loop.time()
        those.watch()
        await eventually(lambda: sock.statistics().num_accepted >= 5)
        assert loop.time() - begun_at > 0.1 + 0.2 + 0.4 + 0.5


async def test_server_that_says_nothing_is_told(
    backend: ModuleType, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_session, "ANSWER_SECONDS", 0.1)
    async with parties(backend, address) as those:
        async with router(backend, those, lambda _: []):
            await told_of(those, "not a word in answer after 0.1 s")
        await eventually(lambda: those.members[1].is_registered)
        await those.all_told()


async def test_answer_to_a_former_connection_counts_no_more(
    backend: ModuleType, ipc_address: str
) -> None:
    def say(message: bytes) -> list[bytes]:
        hello = parse_hello([message])
        if isinstance(hello, Watch):
            wrong = {member_id(9): endpoint_of(ipc_address, 9)}
            right = {member_id(1): endpoint_of(ipc_address, 1)}
            return [
                encode(MemberList(hello.token, right)),
                encode(MemberList(hello.token - 1, wrong)),
                encode(MemberList(hello.token + 1, wrong)),
            ]
        return [encode(Registered(hello.token, ""))]

    async with parties(backend, ipc_address) as those, router(backend, those, say):
        those.watch()
        await those.registered(1)
        await those.all_told()
        # What came later than that has been read too.
        await those.registered(2)
        assert len(those.told[0]) == 1


async def test_member_that_is_nowhere_is_left_out(
    backend: ModuleType, ipc_address: str
) -> None:
    def say(message: bytes) -> list[bytes]:
        members = {
            member_id(1): "tcp://192.0.2.1:80",
            member_id(2): "ipc://relative",
            member_id(3): "ipc:///run/3",
        }
        return [encode(MemberList(parse_hello([message]).token, members))]

    async with parties(backend, ipc_address) as those, router(backend, those, say):
        watcher = those.watch()
        await eventually(lambda: those.told[0])
        assert those.told[0] == [{member_id(3): "ipc:///run/3"}]
        assert len(watcher.recent_errors()) == 2


async def test_file_that_is_no_socket_is_told_and_left_alone(
    backend: ModuleType, ipc_address: str, plain_file: Path
) -> None:
    async with parties(backend, ipc_address) as those:
        with pytest.raises(HandshakeError, match="in use, and nobody accepts"):
            await those.register(1).wait_registered()
        assert those.members[1].recent_errors()
        # It is still there.
        os.unlink(plain_file)
        await eventually(lambda: those.members[1].is_registered)


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, "ZMTP"),
        (b"", "who listens there ends every connection"),
    ],
)
async def test_server_of_something_else_is_told_and_left_alone(
    backend: ModuleType, address: str, greeting: bytes, reason: str
) -> None:
    async def serve(_: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    stranger = await _listen(address, serve)
    try:
        async with parties(backend, address) as those:
            await told_of(those, reason)
    finally:
        stranger.close()
        await stranger.wait_closed()
        with suppress(FileNotFoundError):
            os.unlink(address.removeprefix("ipc://"))


async def _listen(address: str, serve: Any) -> asyncio.Server:
    if address.startswith("ipc"):
        return await asyncio.start_unix_server(serve, address.removeprefix("ipc://"))
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return await asyncio.start_server(serve, host, int(port))


async def test_listener_that_says_nothing_is_told_and_left_alone(
    backend: ModuleType,
    ipc_address: str,
    mute_listener: Callable[[], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {**_links.CLIENT_OPTIONS, "handshake_timeout": 0.2}
    monkeypatch.setattr(_session, "CLIENT_OPTIONS", options)
    async with parties(backend, ipc_address) as those:
        await told_of(those, r"not complete after 0.2 s")
    assert mute_listener()


async def test_member_without_the_key_is_told(
    backend: ModuleType, address: str
) -> None:
    if address.startswith("ipc"):
        pytest.skip("keys are of TCP")
    async with (
        backend.Context(key=b"k" * 32) as context,
        parties(backend, address) as those,
    ):
        keyed = Parties(context, address)
        await keyed.registered(1)
        member = those.register(2)
        with pytest.raises(HandshakeError):
            await member.wait_registered()
        keyed.watch()
        await keyed.all_told()
        keyed.close()
        await eventually(lambda: member.is_registered)


async def test_member_may_not_listen_to_other_machines_without_a_key(
    backend: ModuleType,
) -> None:
    async with backend.Context() as context:
        with pytest.raises(AuthError):
            Registration(
                context, "tcp://0.0.0.0:1", "q", member_id(1), "tcp://127.0.0.1:1"
            )
