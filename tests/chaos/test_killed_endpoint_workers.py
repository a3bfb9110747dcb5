"""Workers of an endpoint client are killed at random: every query ends once."""

import os
import random
import signal
from collections import Counter
from types import ModuleType

import pytest
from tests.endpoint.serving import config_of, query, serving

from busduct.endpoint import HTTPEndpointClient
from busduct.endpoint.echo import Delay
from busduct.errors import WaitTimeoutError
from busduct.messages import QueryResult

NUM_WORKERS = 4
NUM_CONNECTIONS = 64
NUM_IN_FLIGHT = 2000
# Long enough for a worker to start on a machine that does much else.
PATIENCE = 60.0


class Load:
    """Keeps queries under way, and notes how each ended."""

    def __init__(self, client: HTTPEndpointClient) -> None:
        self.client = client
        self.prompts: dict[str, str] = {}
        self.ends: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()

    @property
    def num_under_way(self) -> int:
        return len(self.prompts) - self.ends.total()

    def fill(self) -> None:
        while self.num_under_way < NUM_IN_FLIGHT:
            asked = query(f"question {len(self.prompts)}")
            self.prompts[asked.id] = asked.data["prompt"]
            self.client.issue(asked)

    def take(self, timeout: float) -> None:
        """Take one result, and check that it belongs to its query."""
        result = self.client.recv_blocking(timeout)
        assert isinstance(result, QueryResult)
        self.ends[result.id] += 1
        if result.error is None:
            answer = result.get_response_output_string()
            assert answer == self.prompts[result.id]
            self.outcomes["answered"] += 1
        else:
            self.outcomes[result.error.error_type] += 1


def kill_one_at_work(client: HTTPEndpointClient, killed: set[int]) -> None:
    """Kill a worker that was sent more than it has connections for."""
    pid = next(each.pid for each in client.stats().workers if each.is_ready)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed.add(pid)


def kill_one(client: HTTPEndpointClient, killed: set[int], rng: random.Random) -> None:
    """Kill a worker, whatever it does, if one lives."""
    living = set(client.worker_manager.worker_pids.values()) - killed
    if living:
        pid = rng.choice(sorted(living))
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)


def run(num_kills: int, rng: random.Random) -> tuple[Load, HTTPEndpointClient]:
    with (
        serving(ttft=Delay(mean=0.01, distribution="uniform", spread=1.0)) as server,
        HTTPEndpointClient(
            config_of(
                server,
                num_workers=NUM_WORKERS,
                max_connections=NUM_CONNECTIONS,
                max_restarts=1 << 20,
                restart_window=0.001,
                routing=rng.choice(["round_robin", "least_loaded"]),
            )
        ) as client,
    ):
        load = Load(client)
        killed: set[int] = set()
        load.fill()
        # NB: all others may die before they have begun, which takes them longest.
        load.take(PATIENCE)
        kill_one_at_work(client, killed)
        while len(killed) < num_kills:
            load.fill()
            kill_one(client, killed, rng)
            # Anything from a worker that just began to one that has done much.
            for _ in range(rng.choice([0, 1, 5, 20, 100])):
                try:
                    load.take(0.5)
                except WaitTimeoutError:
                    # All are dead or starting, which is the time to kill another.
                    break
        while load.num_under_way:
            load.take(PATIENCE)
        assert client.poll() is None
        return load, client


def check(load: Load, client: HTTPEndpointClient, num_kills: int) -> None:
    assert set(load.ends) == set(load.prompts)
    assert set(load.ends.values()) == {1}
    assert set(load.outcomes) <= {"answered", "worker_died"}
    # Those on its connections, and those whose answers it still had to send: some
    # turns of its loop. It had been sent some hundreds more.
    most = 3 * num_kills * NUM_CONNECTIONS // NUM_WORKERS
    assert load.outcomes["worker_died"] <= most
    assert load.outcomes["answered"] > 0
    statistics = client.stats()
    assert statistics.num_in_flight == 0
    assert statistics.num_completed == load.outcomes["answered"]
    assert statistics.num_failed == load.outcomes["worker_died"]
    assert statistics.num_resent > 0
    assert statistics.num_restarts >= num_kills - NUM_WORKERS


MANY = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("backend", "num_kills"),
    [("python", 15), ("rust", 15), pytest.param("rust", 200, marks=MANY)],
    indirect=["backend"],
)
def test_every_query_ends_once_under_random_kills(
    num_kills: int,
    backend: ModuleType,
    rng: random.Random,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUSDUCT_BACKEND", backend.BACKEND)
    load, client = run(num_kills, rng)
    check(load, client, num_kills)
