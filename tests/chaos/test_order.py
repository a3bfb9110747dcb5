"""Messages keep their order while their connection moves into shared memory."""

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.chaos.traffic import message, number_of

NUM_MESSAGES = 120
NUM_ROUNDS = 8


@pytest.mark.parametrize("ring_bytes", [4 << 10, 512 << 10])
def test_messages_before_amid_and_after_the_move_arrive_in_order(
    rust: ModuleType, ipc_dir: Path, rng: random.Random, ring_bytes: int
) -> None:
    options = {"shm": "require", "shm_ring_bytes": ring_bytes}
    for number in range(NUM_ROUNDS):
        with rust.Context(**options) as ours, rust.Context(**options) as theirs:
            one, other = ours.socket(rust.PAIR), theirs.socket(rust.PAIR)
            endpoint = one.bind(f"ipc://{ipc_dir}/{number}")
            num_early = rng.randrange(5)
            sides = [Side(one, ours), Side(other, theirs)]
            for side in sides:
                side.send(num_early)
            other.connect(endpoint)
            while not all(side.has_all() for side in sides):
                side = rng.choice(sides)
                side.send(rng.randrange(4))
                side.context.run_once(0.0)
                side.receive()
            assert ours.statistics().num_shm_peers == 1
            for side in sides:
                assert side.numbers == list(range(NUM_MESSAGES))


class Side:
    """One end, which sends all messages and receives as many."""

    def __init__(self, sock: Any, context: Any) -> None:
        self._sock = sock
        self._num_sent = 0
        self.context = context
        self.numbers: list[int] = []

    def send(self, num_messages: int) -> None:
        """Send so many more, if so many are left and there is room."""
        for _ in range(min(num_messages, NUM_MESSAGES - self._num_sent)):
            if self._sock.writable:
                self._sock.send_multipart_nowait(message(self._num_sent))
                self._num_sent += 1

    def receive(self) -> None:
        """Take one message, if there is one."""
        parts = self._sock.recv_multipart_nowait()
        if parts is not None:
            self.numbers.append(number_of(parts))

    def has_all(self) -> bool:
        return len(self.numbers) == NUM_MESSAGES
