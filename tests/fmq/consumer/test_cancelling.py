"""Whoever is cancelled whenever: every message is got once."""

import asyncio
import random
from pathlib import Path
from types import ModuleType

import pytest
from tests.fmq.consuming import Scene, scene
from tests.fmq.raw_producer import RawProducer
from tests.transport.waiting import settle

NUM_PRODUCERS = 3
NUM_MESSAGES = 120


async def produce(producer: RawProducer, chance: random.Random) -> None:
    """Send numbered messages, in bursts."""
    for n in range(NUM_MESSAGES):
        await producer.put(str(n).encode(), first_id=n)
        if chance.random() < 0.3:
            await settle(chance.randrange(6))


async def take(here: Scene, is_many: bool) -> list[tuple[str | None, int | None]]:
    """Take one message or some; return whose they are."""
    consumer = here.consumer
    messages = await consumer.get_many(5) if is_many else [await consumer.get()]
    for message in messages:
        message.ack()
    return [(message.producer_id, message.msg_id) for message in messages]


@pytest.mark.parametrize("ack", ["auto", "manual"])
@pytest.mark.parametrize("seed", range(4))
async def test_every_message_is_got_once(
    backend: ModuleType, any_loop: str, ipc_dir: Path, seed: int, ack: str
) -> None:
    chance = random.Random(seed)
    async with scene(backend, ipc_dir, ack=ack, prefetch_messages=16) as here:
        producers = [await here.producer() for _ in range(NUM_PRODUCERS)]
        producing = [asyncio.create_task(produce(p, chance)) for p in producers]
        got: list[tuple[str | None, int | None]] = []
        waiting: set[asyncio.Task[list[tuple[str | None, int | None]]]] = set()
        while len(got) < NUM_PRODUCERS * NUM_MESSAGES:
            while len(waiting) < 5:
                is_many = chance.random() < 0.3
                waiting.add(asyncio.create_task(take(here, is_many)))
            await settle(chance.randrange(4))
            if chance.random() < 0.5:
                chance.choice(sorted(waiting, key=id)).cancel()
                await asyncio.sleep(0)
            else:
                await asyncio.wait(waiting, return_when="FIRST_COMPLETED", timeout=5)
            for task in [task for task in waiting if task.done()]:
                waiting.discard(task)
                if not task.cancelled():
                    got += task.result()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, *producing, return_exceptions=True)
        expected = [(p.producer_id.hex(), n) for p in producers for n in range(120)]
        assert sorted(got, key=str) == sorted(expected, key=str)
        for producer in producers:
            await producer.told(NUM_MESSAGES)
