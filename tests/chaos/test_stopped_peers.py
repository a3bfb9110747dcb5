"""A peer that is stopped takes nothing: its sender is bounded, and nothing is lost."""

import random
import signal
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.chaos.children import Child, child
from tests.chaos.ledger import Word
from tests.chaos.traffic import message
from tests.transport.waiting import turn_until

from busduct.errors import FullError, WaitTimeoutError

MARK = 20
# The ring holds no more messages than this of what is sent here.
MAX_UNDER_WAY = 2000


def test_sender_to_a_stopped_receiver_waits_until_it_goes_on(
    rust: ModuleType, ipc_dir: Path
) -> None:
    with rust.Context(shm="require") as context:
        tx = context.socket(rust.PUSH, hwm_messages=MARK)
        with child("receive", "PULL", tx.bind(f"ipc://{ipc_dir}/a")) as receiver:
            tx.send_multipart_blocking(message(0), 20.0)
            turn_until(context, lambda: receiver.ledger[Word.RECEIVED] == 1)
            receiver.signal(signal.SIGSTOP)
            num_sent = 1
            with suppress(WaitTimeoutError):
                while num_sent < MAX_UNDER_WAY:
                    tx.send_multipart_blocking(message(num_sent), 0.05)
                    num_sent += 1
            assert num_sent < MAX_UNDER_WAY
            assert tx.statistics().num_send_queued <= MARK
            receiver.signal(signal.SIGCONT)
            for number in range(num_sent, num_sent + 50):
                tx.send_multipart_blocking(message(number), 20.0)
            expect_each_once(context, receiver, num_sent + 50)


@pytest.mark.parametrize("on_full", ["error", "drop_new", "drop_old"])
def test_policy_of_a_sender_holds_while_its_receiver_is_stopped(
    rust: ModuleType, ipc_dir: Path, on_full: str
) -> None:
    with rust.Context(shm="require") as context:
        tx = context.socket(rust.PUSH, hwm_messages=MARK, on_full=on_full)
        with child("receive", "PULL", tx.bind(f"ipc://{ipc_dir}/a")) as receiver:
            tx.send_multipart_blocking(message(0), 20.0)
            turn_until(context, lambda: receiver.ledger[Word.RECEIVED] == 1)
            receiver.signal(signal.SIGSTOP)
            num_sent, num_refused = 1, 0
            while not (num_refused or tx.statistics().num_dropped):
                assert num_sent < MAX_UNDER_WAY
                try:
                    tx.send_multipart_nowait(message(num_sent))
                    num_sent += 1
                except FullError:
                    num_refused += 1
            assert tx.statistics().num_send_queued <= MARK
            receiver.signal(signal.SIGCONT)
            num_taken = num_sent - tx.statistics().num_dropped
            turn_until(context, lambda: receiver.ledger[Word.RECEIVED] == num_taken)
            ledger = receiver.ledger
            assert (ledger[Word.TORN], ledger[Word.DISORDERED]) == (0, 0)
            assert (num_refused == 0) == (on_full != "error")


def test_receiver_that_is_stopped_now_and_then_gets_each_message_once(
    rust: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    with rust.Context(shm="require", shm_ring_bytes=64 << 10) as context:
        tx = context.socket(rust.PUSH, hwm_messages=MARK)
        with child("receive", "PULL", tx.bind(f"ipc://{ipc_dir}/a")) as receiver:
            number = 0
            for _ in range(12):
                for _ in range(rng.randrange(30)):
                    tx.send_multipart_blocking(message(number), 20.0)
                    number += 1
                receiver.signal(signal.SIGSTOP)
                for _ in range(rng.randrange(5)):
                    context.run_once(0.001)
                receiver.signal(signal.SIGCONT)
            expect_each_once(context, receiver, number)


def test_sender_that_is_stopped_now_and_then_loses_nothing(
    rust: ModuleType, ipc_dir: Path, rng: random.Random
) -> None:
    with rust.Context(shm="require") as context:
        rx = context.socket(rust.PULL)
        endpoint = rx.bind(f"ipc://{ipc_dir}/a")
        with child("send", "PUSH", endpoint, num_messages=200) as sender:
            for number in range(200):
                if number % 20 == 10:
                    sender.signal(signal.SIGSTOP)
                    for _ in range(rng.randrange(5)):
                        context.run_once(0.001)
                    sender.signal(signal.SIGCONT)
                assert rx.recv_multipart_blocking(20.0) == message(number)


def expect_each_once(context: Any, receiver: Child, num_messages: int) -> None:
    """Wait until a receiver has got so many messages, in order."""
    ledger = receiver.ledger
    turn_until(context, lambda: ledger[Word.RECEIVED] >= num_messages)
    assert ledger.times_received(num_messages) == b"\x01" * num_messages
    assert (ledger[Word.TORN], ledger[Word.DISORDERED]) == (0, 0)
