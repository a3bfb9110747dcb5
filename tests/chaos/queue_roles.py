"""What the ends of a queue do that are killed: `-m tests.chaos.queue_roles OPTIONS`."""

import asyncio
import ctypes
import json
import os
import random
import signal
import sys
from typing import Any

import uvloop
from tests.chaos.ledger import Ledger, Word
from tests.chaos.queue_traffic import (
    DOOMED,
    NAME,
    index_of,
    is_whole,
    origin_of,
    payload,
)

from busduct._backend import load_backend
from busduct.fmq._consumer import Consumer
from busduct.fmq._message import Message
from busduct.fmq._options import QueueOptions
from busduct.fmq._producer import Producer
from busduct.fmq._wire import Data

_PR_SET_PDEATHSIG = 1


async def produce(options: dict[str, Any], ledger: Ledger) -> None:
    """Put messages until told to stop, and wait until all were dealt with."""
    number, rng = options["number"], random.Random(options["seed"])
    sizes, pause = options["sizes"], options["pause"]
    async with load_backend().Context() as context:
        producer = Producer(
            context, options["address"], NAME, QueueOptions(**options["queue"])
        )
        ledger[Word.READY] = 1
        count = 0
        while not ledger[Word.STOP] and count < options["count"]:
            await producer.put(payload(producer, number, count, rng.choice(sizes)))
            count += 1
            ledger[Word.BEGUN] = count
            if rng.random() < 0.2:
                await asyncio.sleep(rng.uniform(0, pause))
        await producer.wait_acknowledged()
        ledger[Word.DONE] = 1
        await until_killed()


async def put_and_die(options: dict[str, Any], ledger: Ledger) -> None:
    """Put a few messages, and be killed as soon as they are handed over."""
    async with load_backend().Context() as context:
        producer = Producer(
            context, options["address"], NAME, QueueOptions(**options["queue"])
        )
        for count, nbytes in enumerate(options["sizes"]):
            await producer.put(payload(producer, options["number"], count, nbytes))
            ledger[Word.BEGUN] = count + 1
        assert await producer.flush()
        os.kill(os.getpid(), signal.SIGKILL)


class Worker:
    """Takes messages, notes each before it is acknowledged, and may sit on some."""

    def __init__(self, options: dict[str, Any], ledger: Ledger) -> None:
        self._ledger = ledger
        self._rng = random.Random(options["seed"])
        self._num_held = options["hold"]
        self._last: dict[str | None, int] = {}
        self._held: list[Message] = []

    def work(self, message: Message) -> None:
        number, count = origin_of(message.payload)
        self._ledger[Word.TORN] += not is_whole(message.payload)
        if message.num_deliveries == 1:
            last = self._last.get(message.producer_id, -1)
            self._ledger[Word.DISORDERED] += count <= last
            self._last[message.producer_id] = count
        if number != DOOMED:
            index = index_of(number, count)
            self._ledger.note_delivery(index, message.num_deliveries)
        self._held.append(message)
        self._ledger[Word.LEASED] = len(self._held)
        while len(self._held) > self._num_held:
            self._finish_one()

    def rest(self) -> None:
        """Finish what there is, for nothing else comes."""
        while self._held:
            self._finish_one()

    def _finish_one(self) -> None:
        message = self._held.pop(self._rng.randrange(len(self._held)))
        self._ledger[Word.TORN] += not is_whole(message.payload)
        message.ack()


async def consume(options: dict[str, Any], ledger: Ledger) -> None:
    """Take messages without end."""
    worker = Worker(options, ledger)
    async with load_backend().Context() as context:
        consumer = Consumer(
            context,
            options["address"],
            NAME,
            QueueOptions(**options["queue"]),
            options["data_endpoint"],
            decode=_as_received,
        )
        await consumer.wait_registered()
        ledger[Word.READY] = 1
        while True:
            ledger[Word.SERVING] = consumer._registration.is_serving
            message = consumer.get_nowait()
            if message is None and not options["sits"]:
                worker.rest()
            worker.work(message or await consumer.get())


def _as_received(data: Data) -> Any:
    return data.body


async def until_killed() -> None:
    """Wait for what always comes."""
    await asyncio.get_running_loop().create_future()


def main() -> None:
    """Be what the options say, once a line comes."""
    # Whoever started this may be killed too.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    options = json.loads(sys.argv[1])
    ledger = Ledger(options["ledger"])
    if not sys.stdin.readline() or os.getppid() != options["parent"]:
        return
    factory = uvloop.new_event_loop if options["uvloop"] else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(ROLES[options["role"]](options, ledger))


ROLES = {role.__name__: role for role in (produce, put_and_die, consume)}

if __name__ == "__main__":
    main()
