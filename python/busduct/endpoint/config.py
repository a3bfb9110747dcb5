"""The settings of an `HTTPEndpointClient`."""

import os
from importlib import import_module
from typing import Any, Literal, Self

import msgspec

from busduct.endpoint._capacity import num_cpus, num_ephemeral_ports, port_budget
from busduct.endpoint._checks import check_values, class_path, text_tuple
from busduct.endpoint._urls import ApiType, resolve_url
from busduct.errors import ConfigError
from busduct.transport.pool import (
    AnyTransportConfig,
    InprocTransportConfig,
    TransportConfig,
    ZMQTransportConfig,
)
from busduct.workers import AffinityPlan

__all__ = ["HTTPClientConfig", "load_class"]

ADAPTERS: dict[ApiType, str] = {
    "openai": "busduct.endpoint.adapters:OpenAIChatAdapter",
    "openai_completions": "busduct.endpoint.adapters:OpenAICompletionsAdapter",
    "sglang": "busduct.endpoint.adapters:SGLangGenerateAdapter",
}
ACCUMULATORS: dict[ApiType, str] = {
    "openai": "busduct.endpoint.accumulators:OpenAISSEAccumulator",
    "openai_completions": "busduct.endpoint.accumulators:OpenAISSEAccumulator",
    "sglang": "busduct.endpoint.accumulators:SGLangSSEAccumulator",
}
# Two, so that one goes on while the other restarts; beyond 24 the client itself is what
# is busy.
AUTO_WORKERS = (2, 24)
# What only the parent uses.
NOT_FOR_WORKERS = ("transport", "cpu_affinity")


class HTTPClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an `HTTPEndpointClient`.

    What is -1 is resolved as soon as there are `endpoint_urls`; the attributes then
    hold what it came to. Counts of connections are of all workers together.

    Attributes:
        endpoint_urls: Where to post; worker ``i`` uses URL ``i % len(endpoint_urls)``.
            A bare one (``http://host:port``) gets the route of its API.
        api_type: ``openai`` (chat), ``openai_completions`` or ``sglang``.
        api_key: Sent as ``Authorization: Bearer``; never shown or logged.
        num_workers: Processes; a multiple of the number of URLs. -1: one for each CPU
            that this process may use less one, 2 to 24.
        stream_all_chunks: Whether each chunk of a streamed answer comes as a
            `StreamChunk`, or only the first; the `QueryResult` has it all in any case.
        max_queued: Queries that may be under way, beyond which `issue` raises
            `FullError`.
        routing: ``round_robin``, or ``least_loaded``: the worker with the fewest under
            way.
        request_timeout: Seconds that a query may take, unless it says otherwise.
        connect_timeout: Seconds that a connection to the endpoint may take.
        max_retries: How often a request is sent again that was provably not processed.
        max_connections: -1: as many as there are local ports.
        warmup_connections: Opened before the first query. 0: none. -1: half of
            `max_connections`, or, if that is -1, `auto_warmup_budget_fraction` of it.
        auto_warmup_budget_fraction: See `warmup_connections`.
        max_concurrent_warmup_connects: Connections of one worker that may be in the
            making at a time, at the start and later.
        min_required_connections: Those that the ports must allow, and that a worker
            warns about if warming up did not make them. 0: none. -1: those of
            `warmup_connections`.
        max_idle_time: Seconds after which an idle connection is not used again; less
            than the server's own, which would close it under a request.
        insecure: Skip the verification of certificates.
        ca_file: Certificates to trust instead of the system's.
        max_header_bytes: Of a response; a larger one is an error.
        max_body_bytes: Of a response, streamed or not.
        max_event_bytes: Of one event of a stream.
        transport: How queries get to the workers and back.
        cpu_affinity: An `AffinityPlan`; None pins nothing.
        worker_initialization_timeout: Seconds until all workers must be ready.
        worker_graceful_shutdown_wait: Seconds that they get to end by themselves.
        worker_force_kill_timeout: Seconds that they get to be gone once killed.
        worker_gc_mode: Collection of cyclic garbage in workers: ``disabled``,
            ``relaxed`` (rarely) or ``system``.
        max_restarts: How often a worker may be restarted within `restart_window`; if
            it dies once more, it stays dead.
        restart_window: Seconds.
        log_level: Of the workers.
        adapter: A class, or ``"module:Class"``, that encodes queries and decodes
            responses; None for that of `api_type`.
        accumulator: The same of what joins the chunks of a stream.
        worker_target: ``"module:function"`` that worker processes run.

    Raises:
        ConfigError: A value out of its range, URLs that do not divide the workers, or
            more connections than ports.
    """

    endpoint_urls: tuple[str, ...] = ()
    api_type: ApiType = "openai"
    api_key: str | None = None
    num_workers: int = -1
    stream_all_chunks: bool = False
    max_queued: int = 1 << 20
    routing: Literal["round_robin", "least_loaded"] = "round_robin"
    request_timeout: float = 600.0
    connect_timeout: float = 10.0
    max_retries: int = 1
    max_connections: int = -1
    warmup_connections: int = -1
    auto_warmup_budget_fraction: float = 1 / 256
    max_concurrent_warmup_connects: int = 128
    min_required_connections: int = -1
    max_idle_time: float = 4.0
    insecure: bool = False
    ca_file: str | None = None
    max_header_bytes: int = 64 << 10
    max_body_bytes: int = 1 << 30
    max_event_bytes: int = 64 << 20
    transport: AnyTransportConfig = msgspec.field(default_factory=ZMQTransportConfig)
    cpu_affinity: AffinityPlan | None = None
    worker_initialization_timeout: float = 60.0
    worker_graceful_shutdown_wait: float = 0.5
    worker_force_kill_timeout: float = 0.5
    worker_gc_mode: Literal["disabled", "relaxed", "system"] = "relaxed"
    max_restarts: int = 3
    restart_window: float = 60.0
    log_level: str = "INFO"
    adapter: Any = None
    accumulator: Any = None
    worker_target: str = "busduct.endpoint._worker:main"

    def __post_init__(self) -> None:
        """Check the values, and resolve what was left to us."""
        values = msgspec.structs.asdict(self)
        if isinstance(self.api_type, str):
            # Dashes are what command lines use. An enumeration of strings is fine too,
            # and this makes it a string.
            values["api_type"] = self.api_type.replace("-", "_")
        if isinstance(self.ca_file, os.PathLike):
            values["ca_file"] = os.fspath(self.ca_file)
        if isinstance(self.log_level, str):
            values["log_level"] = self.log_level.upper()
        check_values(values)
        _check_types(self.transport, self.cpu_affinity)
        api_type = values["api_type"]
        values["endpoint_urls"] = tuple(
            resolve_url(url, api_type)
            for url in text_tuple("endpoint_urls", self.endpoint_urls)
        )
        values["adapter"] = class_path("adapter", self.adapter or ADAPTERS[api_type])
        values["accumulator"] = class_path(
            "accumulator", self.accumulator or ACCUMULATORS[api_type]
        )
        if values["endpoint_urls"]:
            _resolve_workers(values)
            _resolve_connections(values)
        for name, value in values.items():
            msgspec.structs.force_setattr(self, name, value)

    def __repr__(self) -> str:
        values = msgspec.structs.asdict(self)
        values["api_key"] = None if self.api_key is None else "..."
        fields = ", ".join(f"{name}={value!r}" for name, value in values.items())
        return f"{type(self).__name__}({fields})"

    def __rich_repr__(self) -> Any:
        """Show no more than `repr` does."""
        yield repr(self)

    def with_updates(self, **updates: Any) -> Self:
        """Return a copy with other values, checked as a whole.

        Another `api_type` brings its own adapter and accumulator unless they are given
        too. URLs that already have a route keep it.

        Raises:
            ConfigError: As for a new one.
        """
        if updates.get("api_type", self.api_type) != self.api_type:
            updates = {"adapter": None, "accumulator": None} | updates
        return type(self)(**(msgspec.structs.asdict(self) | updates))

    def url_of(self, worker_id: int) -> str:
        """Return where a worker posts to."""
        return self.endpoint_urls[worker_id % len(self.endpoint_urls)]

    def connections_of(self, worker_id: int) -> int:
        """Return how many connections a worker may have: its share, at least one."""
        return max(1, self._share(self.max_connections, worker_id))

    def warmups_of(self, worker_id: int) -> int:
        """Return how many connections a worker opens before its first query."""
        return self._share(self.warmup_connections, worker_id)

    def _share(self, total: int, worker_id: int) -> int:
        share, rest = divmod(total, self.num_workers)
        return share + (worker_id < rest)

    def to_worker_settings(self) -> bytes:
        """Return one line of JSON with what a worker needs, the key included."""
        values = msgspec.structs.asdict(self)
        return msgspec.json.encode(
            {name: values[name] for name in values if name not in NOT_FOR_WORKERS}
        )

    @classmethod
    def from_worker_settings(cls, line: bytes) -> Self:
        """Return the settings that `to_worker_settings` wrote.

        Raises:
            ConfigError: It did not write that.
        """
        try:
            return msgspec.json.decode(line, type=cls)
        except msgspec.MsgspecError as error:
            # NB: without its text, which may show what stands in the line.
            msg = f"worker settings of {len(line)} bytes do not parse"
            raise ConfigError(msg) from error


def load_class(path: str) -> Any:
    """Import what ``"module:Class"`` names.

    Raises:
        ConfigError: There is no such module, or nothing of that name in it.
    """
    module_name, _, name = path.partition(":")
    try:
        found: Any = import_module(module_name)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        msg = f"{path!r} cannot be imported: {error}"
        raise ConfigError(msg) from error
    return found


def _check_types(transport: Any, cpu_affinity: Any) -> None:
    if not isinstance(cpu_affinity, AffinityPlan | None):
        msg = f"cpu_affinity is {cpu_affinity!r}; it must be an AffinityPlan or None"
        raise ConfigError(msg)
    if not isinstance(transport, TransportConfig):
        msg = f"transport is {transport!r}; it must be a TransportConfig"
        raise ConfigError(msg)
    if isinstance(transport, InprocTransportConfig):
        msg = "transport is of the type 'inproc', which no other process can use"
        raise ConfigError(msg)


def _resolve_workers(values: dict[str, Any]) -> None:
    """Find a number of workers that the URLs divide, or refuse the one given."""
    num_urls = len(values["endpoint_urls"])
    num_workers = values["num_workers"]
    if num_workers == -1:
        least, most = AUTO_WORKERS
        wanted = min(max(least, num_cpus() - 1), most)
        values["num_workers"] = -(-wanted // num_urls) * num_urls
    elif num_workers % num_urls:
        msg = (
            f"num_workers is {num_workers}; it must be a multiple of the number of "
            f"endpoint_urls, {num_urls}, so that each has as many"
        )
        raise ConfigError(msg)


def _resolve_connections(values: dict[str, Any]) -> None:
    """Divide the machine's local ports, or refuse more connections than there are."""
    budget = port_budget(values["endpoint_urls"])
    is_automatic = values["max_connections"] == -1
    if is_automatic:
        values["max_connections"] = budget
    total = values["max_connections"]
    for name in ("max_connections", "min_required_connections"):
        if values[name] > budget:
            msg = (
                f"{name} is {values[name]}, but the system has "
                f"{num_ephemeral_ports()} local ports for each destination, {budget} "
                "in all (net.ipv4.ip_local_port_range)"
            )
            raise ConfigError(msg)
    if total < values["num_workers"]:
        msg = (
            f"max_connections is {total}; it must be at least num_workers, "
            f"{values['num_workers']}"
        )
        raise ConfigError(msg)
    if values["warmup_connections"] == -1:
        fraction = values["auto_warmup_budget_fraction"] if is_automatic else 0.5
        values["warmup_connections"] = int(total * fraction)
    values["warmup_connections"] = min(values["warmup_connections"], total)
    if values["min_required_connections"] == -1:
        values["min_required_connections"] = values["warmup_connections"]
