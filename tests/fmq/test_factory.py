"""The standard queues: their names and roles, and whose they are."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from busduct.errors import ConfigError
from busduct.fmq import FMQ, FMQFactory, Message, Role
from busduct.fmq import factory as factory_module

KINDS = ("q_a2e", "q_e2w", "q_w2e", "q_e2a")


@pytest.fixture(autouse=True)
def _root(ipc_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FMQ_CONFIG_JSON", f'{{"ipc_root": "{ipc_dir}"}}')
    yield
    assert not factory_module._of_process, "destroyed by none"


@asynccontextmanager
async def on_class() -> AsyncIterator[type[FMQFactory]]:
    try:
        yield FMQFactory
    finally:
        await FMQFactory.destroy()


@asynccontextmanager
async def on_instance() -> AsyncIterator[FMQFactory]:
    async with FMQ() as fmq:
        yield FMQFactory(fmq)


@pytest.mark.parametrize("opening", [on_class, on_instance])
@pytest.mark.parametrize("kind", KINDS)
async def test_queues_have_the_names_and_roles_that_they_say(
    opening: Any, kind: str, no_leaks: None
) -> None:
    async with opening() as factory:
        for role in Role:
            make = getattr(factory, f"{kind}_{role.value}")
            queues = [make(), make("w0"), make(name="w1")]
            assert [queue.name for queue in queues] == [
                kind,
                f"{kind}_w0",
                f"{kind}_w1",
            ]
            assert {queue.role for queue in queues} == {role}


@pytest.mark.parametrize("opening", [on_class, on_instance])
async def test_all_queues_share_one_context(opening: Any, no_leaks: None) -> None:
    async with opening() as factory:
        queues = [
            getattr(factory, f"{kind}_{role.value}")()
            for kind in KINDS
            for role in Role
        ]
        assert len({id(queue.context) for queue in queues}) == 1


async def test_a_message_goes_its_way_and_no_other(no_leaks: None) -> None:
    async with on_class() as factory:
        ends = {
            kind: (
                getattr(factory, f"{kind}_producer")(),
                getattr(factory, f"{kind}_consumer")(),
            )
            for kind in KINDS
        }
        for kind, (producer, _) in ends.items():
            await producer.put({"kind": kind})
        for kind, (_, consumer) in ends.items():
            message = await consumer.get(timeout=20_000)
            assert isinstance(message, Message)
            assert message.payload == {"kind": kind}


async def test_an_instance_leaves_the_process_alone(no_leaks: None) -> None:
    async with on_instance() as factory:
        assert factory.q_a2e_producer()
        assert not factory_module._of_process
        await factory.destroy()


def test_the_class_goes_on_in_the_next_loop() -> None:
    async def there_and_back(number: int) -> None:
        producer, consumer = FMQFactory.q_a2e_producer(), FMQFactory.q_a2e_consumer()
        await producer.put(number)
        message = await consumer.get(timeout=20_000)
        assert message is not None
        assert message.payload == number

    for number in range(3):
        asyncio.run(there_and_back(number))
    FMQFactory.destroy()


async def test_destroying_twice_or_nothing_is_fine() -> None:
    await FMQFactory.destroy()
    await FMQFactory.destroy()
    assert FMQFactory.q_a2e_producer().name == "q_a2e"
    await FMQFactory.destroy()


def test_a_forked_child_has_its_own() -> None:
    queue = FMQFactory.q_a2e_producer()
    mine = factory_module._of_process[os.getpid()]
    child = os.fork()
    if child == 0:
        is_own = factory_module._fmq_of_process() is not mine
        os._exit(0 if is_own else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert factory_module._fmq_of_process() is mine
    del queue
    FMQFactory.destroy()


def test_a_name_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="a/b"):
        FMQFactory(FMQ()).q_e2w_producer("a/b")


def test_the_environment_is_read_when_the_first_queue_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FMQ_CONFIG_JSON", '{"ipc_rot": "/x"}')
    with pytest.raises(ConfigError, match="ipc_rot"):
        FMQFactory.q_a2e_producer()
    FMQFactory.destroy()
