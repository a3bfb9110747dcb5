"""Ask an inference endpoint through worker processes, and kill one of them meanwhile.

Needs the extra `endpoint`: pip install 'busduct[endpoint]'. It serves itself.
"""

import asyncio
import logging
import os
import signal
from collections import Counter

from busduct.endpoint import HTTPClientConfig, HTTPEndpointClient
from busduct.endpoint.echo import Delay, EchoConfig, EchoServer
from busduct.messages import Query, QueryResult

NUM_QUERIES = 100
# It answers with the prompt: after 50 ms, then 1 ms for each character.
SERVER = EchoConfig(
    mode="variable", echo=True, ttft=Delay(mean=0.05), tpot=Delay(mean=0.001)
)


def outcome_of(result: QueryResult) -> str:
    """Tell in a word how a query ended."""
    return "answered" if result.error is None else result.error.error_type


async def stream_one(client: HTTPEndpointClient) -> None:
    """Print an answer while it is made."""
    stream = client.stream(Query(data={"prompt": "It is a truth universally"}))
    num_chunks = 0
    async for chunk in stream:
        num_chunks += 1
        print(chunk.response_chunk, end="", flush=True)
    print(f" ({num_chunks} chunks)")


async def kill_one_among_many(client: HTTPEndpointClient) -> None:
    """Kill a worker that has queries, and count how each of them ended."""
    for number in range(NUM_QUERIES):
        client.issue(Query(data={"prompt": f"question {number}"}))
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


async def main() -> None:
    """Serve, and ask."""
    async with EchoServer(SERVER) as server:
        config = HTTPClientConfig(
            endpoint_urls=[server.url], num_workers=2, max_connections=16
        )
        async with await HTTPEndpointClient.create(config) as client:
            await stream_one(client)
            await kill_one_among_many(client)


if __name__ == "__main__":
    # The death of a worker is logged, and here it is meant.
    logging.basicConfig(handlers=[logging.NullHandler()])
    asyncio.run(main())
