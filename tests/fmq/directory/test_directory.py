"""Members of a directory are known to all who watch, whoever came first."""

import asyncio
from pathlib import Path
from types import ModuleType

import pytest
from tests.fmq.directory_parties import NAME, endpoint_of, member_id, parties
from tests.transport.waiting import eventually, settle

from busduct.errors import ClosedError, ConfigError
from busduct.fmq._directory import Members, Registration, Watcher


async def test_watcher_learns_of_members_that_come_and_go(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with parties(backend, address) as those:
        those.watch()
        await those.registered(1, 2, 3)
        await those.all_told()
        those.leave(2)
        await those.all_told()
        await those.registered(4)
        await those.all_told()
        assert those.serving() == [1]


async def test_watcher_that_comes_last_is_told_of_all(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as those:
        await those.registered(1, 2)
        those.watch()
        those.watch()
        await those.all_told()
        assert [len(told) for told in those.told] == [1, 1]


async def test_watcher_knows_of_the_members_or_that_nobody_serves(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as those:
        # Nobody serves, and nobody will.
        await those.watch().wait_known()
        assert those.told == [[]]
        await those.registered(1)
        watcher = those.watch()
        waiting = asyncio.create_task(watcher.wait_known())
        await asyncio.sleep(0)
        assert not waiting.done()
        await waiting
        assert those.told[1] == [those.expected()]
        watcher.close()
        with pytest.raises(ClosedError):
            await watcher.wait_known()


async def test_last_member_that_goes_leaves_an_empty_list(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as those:
        await those.registered(1)
        those.watch()
        await those.all_told()
        those.leave(1)
        await those.all_told()
        assert those.told[0][-1] == {}
        await those.registered(2)
        await those.all_told()


async def test_wait_registered_ends_when_the_server_knows(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as those:
        first, second = those.register(1), those.register(2)
        await asyncio.gather(*(second.wait_registered() for _ in range(3)))
        await first.wait_registered()
        assert (first.is_serving, second.is_serving) == (True, False)


async def test_wait_registered_ends_when_it_is_closed(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with parties(backend, f"ipc://{ipc_dir}/queue") as those:
        those.register(1)
        second = those.register(2)
        waiting = asyncio.ensure_future(second.wait_registered())
        await asyncio.sleep(0)
        second.close()
        second.close()
        with pytest.raises(ClosedError):
            await waiting


async def test_cancelled_wait_leaves_the_others_waiting(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with parties(backend, f"ipc://{ipc_dir}/queue") as those:
        those.register(1)
        second = those.register(2)
        waits = [asyncio.ensure_future(second.wait_registered()) for _ in range(2)]
        await asyncio.sleep(0)
        waits[0].cancel()
        await waits[1]
        assert waits[0].cancelled()


async def test_member_that_comes_again_takes_its_own_place(
    backend: ModuleType, address: str
) -> None:
    async with parties(backend, address) as those:
        await those.registered(1, 2)
        those.watch()
        again = Registration(
            those.context, address, NAME, member_id(2), endpoint_of(address, 5)
        )
        await again.wait_registered()
        await eventually(
            lambda: (
                those.told[0]
                and those.told[0][-1].get(member_id(2)) == endpoint_of(address, 5)
            )
        )
        # The end of the first connection is not that of the second.
        those.members[2].close()
        await those.registered(3)
        await eventually(lambda: member_id(3) in those.told[0][-1])
        assert those.told[0][-1][member_id(2)] == endpoint_of(address, 5)
        again.close()


async def test_changes_of_one_turn_are_told_together(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with parties(backend, f"ipc://{ipc_dir}/queue") as those:
        await those.registered(*range(20))
        those.watch()
        await those.all_told()
        for number in range(1, 20):
            those.leave(number)
        await those.all_told()
        assert len(those.told[0]) < 10


async def test_goes_on_when_every_task_is_cancelled(
    backend: ModuleType, any_loop: str, address: str
) -> None:
    async with parties(backend, address) as those:
        await those.registered(1, 2)
        those.watch()
        await those.all_told()
        # As `asyncio.run` does before asynchronous generators end.
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        await those.registered(3)
        those.leave(2)
        await those.all_told()
        those.leave(1)
        await those.all_told()


async def test_callback_that_raises_is_called_again(
    backend: ModuleType, ipc_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Members] = []

    def fail(members: Members) -> None:
        calls.append(members)
        raise RuntimeError(str(len(members)))

    async with parties(backend, f"ipc://{ipc_dir}/queue") as those:
        watcher = Watcher(those.context, those.address, NAME, fail)
        await those.registered(1)
        await eventually(lambda: len(calls) == 1)
        await those.registered(2)
        await eventually(lambda: len(calls) == 2)
        watcher.close()
    assert "the members of prompts could not be dealt with" in caplog.text


async def test_watcher_may_be_closed_by_its_callback(
    backend: ModuleType, any_loop: str, ipc_dir: Path
) -> None:
    async with parties(backend, f"ipc://{ipc_dir}/queue") as those:
        calls: list[Members] = []

        def close(members: Members) -> None:
            calls.append(members)
            watcher.close()

        watcher = Watcher(those.context, those.address, NAME, close)
        await those.registered(1)
        await eventually(lambda: calls)
        await those.registered(2)
        await settle()
        assert len(calls) == 1


@pytest.mark.parametrize(
    "address",
    ["inproc://queue", "tcp://127.0.0.1:0", "tcp://127.0.0.1", "/run/queue", ""],
)
async def test_address_that_others_cannot_find_is_refused(
    backend: ModuleType, address: str
) -> None:
    async with backend.Context() as context:
        with pytest.raises(ConfigError, match="is no address of a queue"):
            Watcher(context, address, NAME, print)
        with pytest.raises(ConfigError, match="is no address of a queue"):
            Registration(context, address, NAME, member_id(1), "ipc:///run/d")


async def test_directory_of_the_address_has_to_exist_for_members(
    backend: ModuleType, ipc_dir: Path
) -> None:
    async with parties(backend, f"ipc://{ipc_dir}/none/queue") as those:
        with pytest.raises(FileNotFoundError):
            those.register(1)
        those.watch()
        (ipc_dir / "none").mkdir()
        await those.registered(1)
        await those.all_told()


async def test_closed_context_takes_no_part(backend: ModuleType, address: str) -> None:
    context = backend.Context()
    context.close()
    with pytest.raises(ClosedError):
        Watcher(context, address, NAME, print)
    with pytest.raises(ClosedError):
        Registration(context, address, NAME, member_id(1), endpoint_of(address, 1))
