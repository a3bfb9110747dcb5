"""Two workers take requests from a queue, and one of them is killed amid its work.

Nothing is lost: what the dead one had not acknowledged goes to the other. Producers and
consumers may start in any order, and nothing has to be closed.

    python examples/fmq_hello.py
"""

import asyncio
import multiprocessing
import os
import signal

from busduct.fmq import FMQ


def work() -> None:
    """Answer requests until the process is killed; without an event loop."""
    fmq = FMQ()
    # By hand: a request is done when its answer is on its way, and not before.
    requests = fmq.queue("requests", "consumer", ack="manual", prefetch_messages=2)
    answers = fmq.queue("answers")
    for message in requests:
        request = message.payload
        if request["poison"] and message.num_deliveries == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        answers.put_sync({"id": request["id"], "text": request["text"].upper()})
        answers.flush_sync()
        message.ack()


async def main() -> None:
    """Ask for ten things, of which one kills the first worker that gets it."""
    fmq = FMQ()
    requests = fmq.queue("requests")
    answers = fmq.queue("answers", "consumer")
    for number in range(10):
        await requests.put(
            {"id": number, "text": f"hello {number}", "poison": number == 4}
        )
    by_id: dict[int, str] = {}
    while len(by_id) < 10:
        message = await answers.get(timeout=20_000, raise_on_timeout=True)
        assert message is not None
        by_id[message.payload["id"]] = message.payload["text"]
    print(*(by_id[number] for number in sorted(by_id)), sep="\n")


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    asyncio.run(main())
    # Its messages may go to the other one before the system tells of its end.
    for worker in workers:
        worker.join(timeout=1.0)
    killed = sum(worker.exitcode is not None for worker in workers)
    for worker in workers:
        worker.kill()
        worker.join()
    print(f"workers killed by a request: {killed}")
