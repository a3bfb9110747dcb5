"""The settings of a load generator."""

import math
from pathlib import Path

import msgspec

from busduct.endpoint._urls import ApiType
from busduct.endpoint.load._arrivals import Arrival
from busduct.endpoint.load._lengths import Lengths
from busduct.errors import ConfigError

__all__ = ["LoadConfig"]


class LoadConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What to send to an endpoint, how often, and for how long.

    Attributes:
        url: Of the endpoint: its base (``http://host:port``) or the whole route.
        api: ``openai`` (chat), ``openai_completions`` or ``sglang``.
        model: What requests name; None asks an OpenAI endpoint what it serves.
        dataset: JSON lines to send in turn; None makes prompts up.
        input_lengths: Words of a made-up prompt; about as many tokens.
        output_lengths: The most tokens of an answer; None leaves it to the endpoint,
            or to the dataset.
        rate: Requests per second; None sends the next as soon as one has ended.
        arrival: How a rate is spread over time.
        concurrency: Requests under way at most. With a rate, what is due beyond it
            waits, and its wait counts. None is no bound with a rate, 64 without.
        num_requests: How many to send; None for as many as fit into `duration`.
        duration: Seconds to send for; None for until all are sent.
        num_warmup: Requests before the measurement, which count for nothing.
        num_workers: Processes of the client; None lets it choose.
        num_connections: Of all of them together; None lets the client choose.
        stream: Ask for answers as streams; TTFT, TPOT and ITL need it.
        timeout: Seconds from when a request is sent until it counts as failed.
        seed: Of arrivals and of made-up prompts.
        api_key: Sent as ``Authorization: Bearer``; never shown.
        insecure: Skip the verification of certificates.
        ca_file: Certificates to trust instead of the system's.

    Raises:
        ConfigError: A value out of its range.
    """

    url: str
    api: ApiType = "openai"
    model: str | None = None
    dataset: Path | None = None
    input_lengths: Lengths = Lengths("fixed", 128)
    output_lengths: Lengths | None = None
    rate: float | None = None
    arrival: Arrival = "poisson"
    concurrency: int | None = None
    num_requests: int | None = None
    duration: float | None = None
    num_warmup: int = 0
    num_workers: int | None = None
    num_connections: int | None = None
    stream: bool = True
    timeout: float = 600.0
    seed: int = 0
    api_key: str | None = None
    insecure: bool = False
    ca_file: str | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "duration", "timeout"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                msg = f"{name} is {value}; it must be finite and above 0"
                raise ConfigError(msg)
        for name, least in (
            ("concurrency", 1),
            ("num_requests", 1),
            ("num_warmup", 0),
            ("num_workers", 1),
            ("num_connections", 1),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                msg = f"{name} is {value}; it must be at least {least}"
                raise ConfigError(msg)
        if self.num_requests is None and self.duration is None:
            msg = "give num_requests, duration, or both; else it would never end"
            raise ConfigError(msg)

    def __repr__(self) -> str:
        values = msgspec.structs.asdict(self)
        values["api_key"] = None if self.api_key is None else "..."
        fields = ", ".join(f"{name}={value!r}" for name, value in values.items())
        return f"{type(self).__name__}({fields})"

    @property
    def max_in_flight(self) -> int | None:
        """How many requests may be under way; None for no bound."""
        if self.concurrency is None and self.rate is None:
            return 64
        return self.concurrency
