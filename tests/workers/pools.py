"""Pools of real processes for tests."""

import asyncio
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes.conditions import until

from busduct.messages import Query, QueryResult
from busduct.transport.pool import AnyTransportConfig, ZMQTransportConfig
from busduct.workers import AffinityPlan, Dispatcher, WorkerManager
from busduct.workers._routing import Routing

_numbers = itertools.count()


@dataclass(frozen=True, kw_only=True)
class EchoSettings:
    """The settings of a pool that runs a target of `targets`."""

    target: str = "echo"
    num_workers: int = 2
    transport: AnyTransportConfig | None = field(
        default_factory=lambda: ZMQTransportConfig(linger=200)
    )
    cpu_affinity: AffinityPlan | None = None
    worker_initialization_timeout: float = 30.0
    worker_graceful_shutdown_wait: float = 2.0
    worker_force_kill_timeout: float = 5.0
    max_restarts: int = 3
    restart_window: float = 60.0
    routing: Routing = "round_robin"
    request_timeout: float | None = 50.0
    log_level: str = "INFO"
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def worker_target(self) -> str:
        return f"tests.workers.targets:{self.target}"

    def to_worker_settings(self) -> bytes:
        return json.dumps(self.settings).encode()


def ask(command: str = "echo", *, timeout: float | None = None, **data: Any) -> Query:
    """Make a query for the targets, of an id that no other has."""
    number = next(_numbers)
    given = {"command": command, **data}
    return Query(id=f"query-{number}", data=given, timeout=timeout)


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[WorkerManager]:
    """Give a pool that has started."""
    manager = WorkerManager(EchoSettings(**settings), asyncio.get_running_loop())
    async with manager:
        yield manager


async def results_of(dispatcher: Dispatcher, count: int) -> dict[str, QueryResult]:
    """Take so many results, and see that no query has two."""
    found: dict[str, QueryResult] = {}
    while len(found) < count:
        item = await dispatcher.recv()
        assert item is not None
        if isinstance(item, QueryResult):
            assert item.id not in found, f"{item.id} ended twice"
            found[item.id] = item
    return found


def error_of(result: QueryResult) -> str | None:
    """Return the type of a result's error."""
    return None if result.error is None else result.error.error_type


async def stop(pid: int) -> None:
    """Stop a process, and wait until it is: a signal sent before would be heeded."""
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "T")
