"""Ask an inference endpoint through worker processes, and kill one of them meanwhile.

Needs the extra `endpoint`: pip install 'busduct[endpoint]'. Without arguments it serves
itself; `worker_pool.py http://127.0.0.1:8000 --model busduct-austen` asks what
`busduct serve` serves, and likewise any endpoint with OpenAI's interface.
"""

import argparse
import asyncio
import logging
import os
import signal
from collections import Counter
from contextlib import AsyncExitStack

from busduct.endpoint import HTTPClientConfig, HTTPEndpointClient
from busduct.endpoint.echo import Delay, EchoConfig, EchoServer
from busduct.messages import Query, QueryResult

NUM_QUERIES = 100
# It answers with the prompt: after 50 ms, then 1 ms for each character.
SERVER = EchoConfig(
    mode="variable", echo=True, ttft=Delay(mean=0.05), tpot=Delay(mean=0.001)
)


def query(prompt: str, model: str | None) -> Query:
    """Ask for a short answer, of the endpoint's model if it wants it named."""
    data = {"prompt": prompt, "max_tokens": 32}
    return Query(data=data if model is None else {**data, "model": model})


def outcome_of(result: QueryResult) -> str:
    """Tell in a word how a query ended."""
    return "answered" if result.error is None else result.error.error_type


async def stream_one(client: HTTPEndpointClient, model: str | None) -> None:
    """Print an answer while it is made."""
    stream = client.stream(query("It is a truth universally", model))
    num_chunks = 0
    async for chunk in stream:
        num_chunks += 1
        print(chunk.response_chunk, end="", flush=True)
    print(f" ({num_chunks} chunks)")


async def kill_one_among_many(client: HTTPEndpointClient, model: str | None) -> None:
    """Kill a worker that has queries, and count how each of them ended."""
    for number in range(NUM_QUERIES):
        client.issue(query(f"question {number}", model))
    results = []
    while len(results) < NUM_QUERIES:
        result = await client.recv()
        if isinstance(result, QueryResult):
            results.append(result)
        if len(results) == 20:
            os.kill(client.worker_manager.worker_pids[0], signal.SIGKILL)
    for outcome, count in sorted(Counter(map(outcome_of, results)).items()):
        print(f"{outcome:<12} {count:>4}")
    print(f"{'ended once':<12} {len({result.id for result in results}):>4}")


async def main(url: str | None, model: str | None) -> None:
    """Serve, unless somebody does, and ask."""
    async with AsyncExitStack() as stack:
        if url is None:
            url = (await stack.enter_async_context(EchoServer(SERVER))).url
        config = HTTPClientConfig(
            endpoint_urls=[url], num_workers=2, max_connections=16
        )
        client = await HTTPEndpointClient.create(config)
        await stack.enter_async_context(client)
        await stream_one(client, model)
        await kill_one_among_many(client, model)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?", help="of an endpoint; else one of its own")
    parser.add_argument("--model", help="what the endpoint calls its model")
    arguments = parser.parse_args()
    # The death of a worker is logged, and here it is meant.
    logging.basicConfig(handlers=[logging.NullHandler()])
    asyncio.run(main(arguments.url, arguments.model))
