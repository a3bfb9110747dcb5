"""Runs of load on clients that answer as they are told to."""

from collections.abc import Callable
from typing import Any

from tests.endpoint.load.stand_in import Item, StandInClient

from busduct.endpoint.config import HTTPClientConfig
from busduct.endpoint.load import LoadConfig, LoadReport, LoadRun, LoadSweep
from busduct.messages import ErrorData, Query, QueryResult, StreamChunk

USAGE = {"completion_tokens": 4, "prompt_tokens": 10}


def stream(query: Query) -> list[tuple[float, Item]]:
    """Answer with four chunks, 2 ms apart; one in ten with an error."""
    if int(query.id.rpartition("-")[2]) % 10 == 9:
        error = ErrorData(error_type="http", error_message="busy", status=503)
        return [(0.001, QueryResult(id=query.id, error=error))]
    chunk = StreamChunk(id=query.id, response_chunk="x")
    end = QueryResult(id=query.id, metadata={"usage": USAGE})
    return [*((0.002 * n, chunk) for n in range(1, 5)), (0.009, end)]


def config(**settings: Any) -> LoadConfig:
    given = {"num_requests": 50, "concurrency": 10, "model": "some", **settings}
    return LoadConfig(url="http://localhost:1", **given)


class Clients:
    """Makes stand-ins, and keeps them."""

    def __init__(self, answer: Callable[[Query], list[tuple[float, Item]]]) -> None:
        self._answer = answer
        self.made: list[StandInClient] = []
        self.configs: list[HTTPClientConfig] = []

    async def __call__(self, config: HTTPClientConfig) -> StandInClient:
        self.configs.append(config)
        self.made.append(StandInClient(self._answer))
        return self.made[-1]


async def report_of(**settings: Any) -> LoadReport:
    return await LoadRun(config(**settings), create_client=Clients(stream)).run()


def sweep(clients: Clients, **numbers: list[int]) -> LoadSweep:
    given = {"workers": [], "connections": [], "input_lengths": [], **numbers}
    return LoadSweep(
        config(num_requests=20),
        **given,
        make_run=lambda varied: LoadRun(varied, create_client=clients),
    )
