"""Ends of queues are killed at any moment: no message that lives on is lost."""

import os
import random
import signal
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from tests.chaos.ledger import Word
from tests.chaos.queue_children import End, Ends, ends, until
from tests.chaos.queue_traffic import DOOMED, NAME
from tests.chaos.traces import has_named_memory
from tests.transport.waiting import eventually

from busduct.fmq._directory import Members, Watcher

SIZES = [10, 10, 1000, 20_000, 200_000]
TAKEOVER_SECONDS = 1.0
MANY = [pytest.mark.slow, pytest.mark.timeout(900)]


def check(those: Ends, num_lost: int = 0) -> None:
    """Check that what living producers put was delivered, and once."""
    assert (those.total(Word.TORN), those.total(Word.DISORDERED)) == (0, 0)
    for number, producer in enumerate(those.producers):
        times = those.deliveries(number)
        assert all(first <= 1 for first, _ in times)
        if producer.ledger[Word.DONE]:
            missing = [i for i, (first, again) in enumerate(times) if not first + again]
            assert len(missing) <= num_lost, missing


def make_consumer(those: Ends, rng: random.Random, ack: str) -> End:
    return those.consume(
        hold=rng.choice([0, 3, 50]) if ack == "manual" else 0,
        ack=ack,
        prefetch_messages=rng.choice([1, 10, 256]),
    )


@pytest.mark.parametrize("ack", ["manual", "auto"])
@pytest.mark.parametrize(
    ("backend", "num_kills"),
    [("python", 3), ("rust", 3), pytest.param("rust", 200, marks=MANY)],
    indirect=["backend"],
)
def test_every_message_outlives_killed_consumers(
    backend: ModuleType, num_kills: int, ack: str, ipc_dir: Path, rng: random.Random
) -> None:
    with ends(backend.BACKEND, ipc_dir, rng) as those:
        for _ in range(2):
            those.produce(SIZES)
        if ack == "manual":
            kill_one_that_holds_some(those)
        for _ in range(3):
            make_consumer(those, rng, ack)
        until(lambda: all(end.is_ready for end in those.living))
        for _ in range(num_kills):
            time.sleep(rng.uniform(0, 0.1))
            rng.choice(those.living).kill()
            make_consumer(those, rng, ack)
            if rng.random() < 0.7:
                until(lambda: all(end.is_ready for end in those.living))
        those.finish()
        # In automatic mode, what a consumer has in its hands is acknowledged.
        check(those, num_lost=num_kills if ack == "auto" else 0)
        if ack == "manual":
            assert any(again for n in (0, 1) for _, again in those.deliveries(n))


def kill_one_that_holds_some(those: Ends) -> None:
    victim = those.consume(hold=50, sits=True)
    until(lambda: victim.ledger[Word.LEASED])
    victim.kill()


@pytest.mark.parametrize(
    ("backend", "num_kills"),
    [("python", 3), ("rust", 3), pytest.param("rust", 200, marks=MANY)],
    indirect=["backend"],
)
def test_killed_producers_take_only_their_own_messages_with_them(
    backend: ModuleType, num_kills: int, ipc_dir: Path, rng: random.Random
) -> None:
    with ends(backend.BACKEND, ipc_dir, rng) as those:
        for _ in range(2):
            make_consumer(those, rng, "manual")
        survivor = those.produce(SIZES)
        for _ in range(num_kills):
            victim = those.produce(SIZES, number=DOOMED)
            num_left = rng.choice([1, 1, 10, 100])
            until(lambda v=victim, n=num_left: v.ledger[Word.BEGUN] >= n)
            victim.close()
        those.finish()
        check(those)
        assert survivor.ledger[Word.DONE]


def test_what_a_killed_consumer_held_comes_again_and_nothing_else(
    backend: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    with ends(backend.BACKEND, ipc_dir, rng) as those:
        victim = those.consume(hold=1000, sits=True, prefetch_messages=20)
        producer = those.produce(SIZES, count=100)
        until(lambda: victim.ledger[Word.LEASED] == 20)
        those.consume()
        until(lambda: those.total(Word.RECEIVED) == 100)
        victim.kill()
        those.finish()
        check(those)
        assert producer.ledger[Word.DONE]
        held = victim.ledger.times_received(100)
        assert [again for _, again in those.deliveries(0)] == list(held)


def test_what_was_put_arrives_though_its_producer_is_killed_at_once(
    backend: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    with ends(backend.BACKEND, ipc_dir, rng) as those:
        consumer = those.consume(ack="auto")
        until(lambda: consumer.is_ready)
        for _ in range(3):
            those.produce(SIZES, role="put_and_die")
        for number, producer in enumerate(those.producers):
            assert producer.process.wait(30) == -signal.SIGKILL
            until(lambda n=number: those.deliveries(n) == [(1, 0)] * len(SIZES))
        check(those)


def test_nothing_is_left_where_both_ends_are_killed(
    backend: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    with ends(backend.BACKEND, ipc_dir, rng) as those:
        for _ in range(2):
            producer, consumer = those.produce(SIZES), those.consume(hold=50)
            num_received = those.total(Word.RECEIVED)
            until(lambda n=num_received: those.total(Word.RECEIVED) > n + 100)
            for end in (producer, consumer):
                assert not has_named_memory(end.process.pid)
                end.process.kill()
            for end in (producer, consumer):
                end.kill()
            # They are of no use, and in nobody's way.
            assert set(os.listdir(ipc_dir)) <= {"queue", "data-0", "data-1"}


async def test_killed_server_is_replaced_under_load(
    backend: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    told: list[Members] = []
    seconds = []
    with ends(backend.BACKEND, ipc_dir, rng) as those:
        async with backend.Context() as context:
            watcher = Watcher(context, those.address, NAME, told.append)
            for _ in range(2):
                those.produce(SIZES)
            for _ in range(5):
                make_consumer(those, rng, "manual")
            for _ in range(3):
                await eventually(lambda: told and are_listed(those, told[-1]))
                server = await eventually(those.serving)
                server.kill()
                killed_at = time.monotonic()
                await eventually(lambda: are_listed(those, told[-1]))
                seconds.append(time.monotonic() - killed_at)
            watcher.close()
        those.finish()
        check(those)
    sys.stdout.write(f"seconds until another served: {seconds}\n")
    # Whatever held up the machine did so now and then.
    assert min(seconds) < TAKEOVER_SECONDS


def are_listed(those: Ends, members: Members) -> bool:
    """Tell whether watchers know just those consumers that live."""
    living = {end.options["data_endpoint"] for end in those.living}
    return set(members.values()) == living


def test_consumers_share_the_work(
    backend: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    with ends(backend.BACKEND, ipc_dir, rng) as those:
        consumers = [those.consume(prefetch_messages=10) for _ in range(2)]
        until(lambda: all(end.is_ready for end in consumers))
        those.produce(SIZES)
        # However the system shares the processors among them.
        until(lambda: all(end.ledger[Word.RECEIVED] > 500 for end in consumers))
        those.finish()
        check(those)
