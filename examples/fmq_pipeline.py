"""API server, engine and worker: three processes, and four queues between them.

A prompt goes from the API server over the engine to the worker; the tokens come back
the same way. `FMQFactory` names the queues, so that no process is told where another
one is.

    python examples/fmq_pipeline.py
"""

import asyncio
import multiprocessing

from busduct.fmq import FMQFactory

PROMPTS = ["the quick brown fox", "jumps over", "the lazy dog"]


async def run_engine() -> None:
    """Hand prompts to the worker, and its results to the API server."""
    from_api = FMQFactory.q_a2e_consumer()
    to_api = FMQFactory.q_e2a_producer()
    to_worker = FMQFactory.q_e2w_producer("w0")
    from_worker = FMQFactory.q_w2e_consumer("w0")

    async def hand_down() -> None:
        async for message in from_api:
            await to_worker.put({**message.payload, "step": "prefill"})

    async def hand_up() -> None:
        async for message in from_worker:
            await to_api.put(message.payload)

    await asyncio.gather(hand_down(), hand_up())


async def run_worker() -> None:
    """Answer each prompt with its words, one after the other."""
    from_engine = FMQFactory.q_e2w_consumer("w0")
    to_engine = FMQFactory.q_w2e_producer("w0")
    async for message in from_engine:
        prompt = message.payload
        for index, word in enumerate(words := prompt["text"].split()):
            await to_engine.put(
                {"id": prompt["id"], "word": word, "last": index == len(words) - 1}
            )


async def run_api() -> None:
    """Send the prompts, and print each answer as a whole."""
    to_engine = FMQFactory.q_a2e_producer()
    from_engine = FMQFactory.q_e2a_consumer()
    await to_engine.put_many(
        [{"id": number, "text": text} for number, text in enumerate(PROMPTS)]
    )
    words: dict[int, list[str]] = {}
    num_left = len(PROMPTS)
    while num_left:
        message = await from_engine.get(timeout=20_000, raise_on_timeout=True)
        assert message is not None
        token = message.payload
        words.setdefault(token["id"], []).append(token["word"])
        num_left -= token["last"]
    for number in sorted(words):
        print(number, *words[number])


def engine() -> None:
    """Be the engine's process."""
    asyncio.run(run_engine())


def worker() -> None:
    """Be the worker's process."""
    asyncio.run(run_worker())


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=target) for target in (engine, worker)]
    for process in processes:
        process.start()
    asyncio.run(run_api())
    for process in processes:
        process.terminate()
        process.join()
