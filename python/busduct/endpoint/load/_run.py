"""A run of load: the client, the warm-up, the measurement and its report."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import islice, repeat
from typing import Any, Protocol

import msgspec

from busduct.endpoint.config import HTTPClientConfig
from busduct.endpoint.load._arrivals import arrival_offsets
from busduct.endpoint.load._config import LoadConfig
from busduct.endpoint.load._dataset import load_dataset
from busduct.endpoint.load._generator import LoadClient, LoadGenerator
from busduct.endpoint.load._model_name import ask_model_name
from busduct.endpoint.load._progress import Progress, ProgressMeter
from busduct.endpoint.load._queries import QuerySource
from busduct.endpoint.load._report import LoadReport, make_report
from busduct.messages import Query

__all__ = ["LoadRun", "ManagedClient", "client_config"]

_WARMUP_CONCURRENCY = 64


class ManagedClient(LoadClient, Protocol):
    """A client that can be told to end."""

    async def shutdown_async(self) -> object:
        """End it, and all queries that are under way."""


class LoadRun:
    """One run; `run` may be called once.

    Args:
        config: What to send.
        on_progress: Called every `progress_interval` seconds while it runs.
        progress_interval: Seconds.
        create_client: Makes the client; None for `HTTPEndpointClient`.

    Raises:
        ConfigError: The dataset cannot be used, or a setting of the client.
    """

    def __init__(
        self,
        config: LoadConfig,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        progress_interval: float = 1.0,
        create_client: Callable[[HTTPClientConfig], Awaitable[ManagedClient]]
        | None = None,
    ) -> None:
        self._config = config
        self._on_progress = on_progress
        self._progress_interval = progress_interval
        self._create_client = create_client or _create_client
        # Here, so that what is wrong is told before anything is started.
        self._client_config = client_config(config)
        self._rows = (
            None if config.dataset is None else load_dataset(config.dataset, config.api)
        )
        self._source = QuerySource(config, self._rows)
        self._generator: LoadGenerator | None = None
        self._is_stopped = False

    async def run(self) -> LoadReport:
        """Warm up, measure, and return the report.

        Raises:
            BusductError: The client did not start, or cannot go on.
            ImportError: The extra ``endpoint`` is missing.
            OSError: The endpoint cannot be reached to ask for its model.
        """
        await self._find_model()
        client = await self._create_client(self._client_config)
        try:
            await self._warm_up(client)
            return await self._measure(client)
        finally:
            await client.shutdown_async()

    def stop(self) -> None:
        """End the run now, with a report of what was measured. Idempotent."""
        self._is_stopped = True
        if self._generator is not None:
            self._generator.stop()

    async def _find_model(self) -> None:
        """Ask the endpoint what it serves, if nobody has said."""
        if self._config.model is None and any(
            "model" not in row for row in self._rows or [{}]
        ):
            name = await ask_model_name(self._config)
            self._config = msgspec.structs.replace(self._config, model=name)
            self._source = QuerySource(self._config, self._rows)

    async def _warm_up(self, client: ManagedClient) -> None:
        """Have connections made and caches filled."""
        num_warmup = self._config.num_warmup
        if not num_warmup or self._is_stopped:
            return
        places = self._config.max_in_flight or _WARMUP_CONCURRENCY
        self._generator = LoadGenerator(
            client,
            self._warmup_query,
            repeat(None, num_warmup),
            max_in_flight=min(places, num_warmup),
        )
        await self._generator.run()

    def _warmup_query(self, number: int) -> Query:
        query = self._source.query(number)
        return Query(id=f"warmup-{number}", data=query.data, created_at=0.0)

    async def _measure(self, client: ManagedClient) -> LoadReport:
        config = self._config
        offsets = arrival_offsets(config.rate, config.arrival, config.seed)
        if config.num_requests is not None:
            offsets = islice(offsets, config.num_requests)
        duration = config.duration
        self._generator = generator = LoadGenerator(
            client,
            # Other prompts than those of the warm-up, which may be cached.
            lambda number: self._source.query(number + config.num_warmup),
            offsets,
            max_in_flight=config.max_in_flight,
            duration_ns=None if duration is None else round(duration * 1e9),
        )
        if self._is_stopped:
            generator.stop()
        started_at = time.time()
        watch = asyncio.create_task(self._watch(generator), name="load-progress")
        try:
            await generator.run()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        return make_report(
            config,
            generator.measured,
            started_at=started_at,
            end_ns=time.monotonic_ns(),
            interrupted=self._is_stopped,
        )

    async def _watch(self, generator: LoadGenerator) -> None:
        if self._on_progress is None:
            return
        meter = ProgressMeter(generator.measured)
        while True:
            await asyncio.sleep(self._progress_interval)
            self._on_progress(meter.read(time.monotonic_ns()))


def client_config(config: LoadConfig) -> HTTPClientConfig:
    """Return the settings of the client that a run needs.

    Raises:
        ConfigError: The client cannot do what is asked.
    """
    given: dict[str, Any] = {
        "num_workers": config.num_workers,
        "max_connections": config.num_connections,
    }
    return HTTPClientConfig(
        endpoint_urls=(config.url,),
        api_type=config.api,
        api_key=config.api_key,
        # Times between tokens need all of them.
        stream_all_chunks=True,
        request_timeout=config.timeout,
        insecure=config.insecure,
        ca_file=config.ca_file,
        **{name: value for name, value in given.items() if value is not None},
    )


async def _create_client(config: HTTPClientConfig) -> ManagedClient:
    try:
        # Its workers need it; here its lack can be told in so many words.
        import httptools as _httptools  # noqa: F401
    except ModuleNotFoundError as error:
        msg = (
            f"a load generator needs {error.name}; "
            "install the extra 'endpoint': pip install 'busduct[endpoint]'"
        )
        raise ImportError(msg, name=error.name) from error
    from busduct.endpoint import HTTPEndpointClient

    client: ManagedClient = await HTTPEndpointClient.create(config)
    return client
