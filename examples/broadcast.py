"""Send every step to all workers of a group: one copy, every step, in order.

python examples/broadcast.py
"""

import subprocess
import sys

import msgspec

from busduct.transport import (
    BroadcastHandle,
    BroadcastQueue,
    BroadcastReader,
    MessageCodec,
)

NUM_WORKERS, NUM_STEPS = 3, 4


class Step(msgspec.Struct):
    """What a scheduler tells its workers."""

    number: int
    request_ids: list[str]


CODEC = MessageCodec(Step)


def schedule() -> None:
    """Start the workers, and send them the steps."""
    with BroadcastQueue(NUM_WORKERS, codec=CODEC) as queue:
        workers = [
            subprocess.Popen(
                [sys.executable, __file__, str(queue.handle), str(rank)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(NUM_WORKERS)
        ]
        queue.wait_ready_blocking(timeout=30.0)
        for number in range(NUM_STEPS):
            queue.send_blocking(Step(number, ["a", "b"]), timeout=30.0)
    for worker in workers:
        print(worker.communicate()[0], end="")
    print(f"lost: {queue.lost_readers}")


def work(handle: str, rank: int) -> None:
    """Take every step, until the scheduler closes."""
    with BroadcastReader(BroadcastHandle.parse(handle), rank, codec=CODEC) as reader:
        numbers = [step.number for step in reader]
    print(f"rank {rank}: {numbers}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        work(sys.argv[1], int(sys.argv[2]))
    else:
        schedule()
