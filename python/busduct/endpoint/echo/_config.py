"""The settings of an echo server."""

import math
import random
from typing import Literal, TypeAlias

import msgspec

from busduct.errors import ConfigError

__all__ = ["Delay", "Distribution", "EchoConfig", "Mode"]

Distribution: TypeAlias = Literal["fixed", "uniform", "lognormal"]
Mode: TypeAlias = Literal["max", "variable"]


class Delay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A duration that may differ from one request or token to the next.

    Attributes:
        mean: Seconds.
        distribution: Of the durations about the mean.
        spread: Of ``uniform``, half the width, and of ``lognormal``, the standard
            deviation; both as parts of the mean. ``fixed`` has none.

    Raises:
        ConfigError: A value out of its range.
    """

    mean: float = 0.0
    distribution: Distribution = "fixed"
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.mean < math.inf:
            msg = f"mean of a delay is {self.mean}; it must be finite and at least 0"
            raise ConfigError(msg)
        if not 0 <= self.spread < math.inf:
            msg = (
                f"spread of a delay is {self.spread}; it must be finite and at least 0"
            )
            raise ConfigError(msg)
        if self.distribution == "uniform" and self.spread > 1:
            msg = f"spread of a uniform delay is {self.spread}; it must be at most 1"
            raise ConfigError(msg)

    def sample(self, source: random.Random) -> float:
        """Return one duration in seconds."""
        if self.distribution == "fixed" or not self.mean or not self.spread:
            return self.mean
        if self.distribution == "uniform":
            return self.mean * (1 + self.spread * (2 * source.random() - 1))
        variance = math.log1p(self.spread * self.spread)
        middle = math.log(self.mean) - variance / 2
        return source.lognormvariate(middle, math.sqrt(variance))


class EchoConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of an echo server. One character of its text counts as one token.

    Attributes:
        host: Address or name to listen at.
        port: TCP port; 0 lets the system choose.
        insecure: Permit an address other than loopback. Nobody is asked for a key.
        mode: ``max`` sends replies that are made beforehand, at once and as fast as
            can be; ``variable`` takes its time, as `ttft` and `tpot` say.
        model: What ``/v1/models`` lists and replies name.
        output_length: Characters of an answer. In the mode ``variable`` a request
            that names a number of tokens gets that number.
        stream_interval: Characters per event of a streamed answer.
        num_processes: Processes that share the port; 0 serves on the caller's loop.
        cert_file: PEM file of a certificate chain; serves TLS.
        key_file: PEM file of its key.
        max_body_bytes: A larger request body is refused with 413.
        echo: Answer with the prompt instead of made-up text (``variable``).
        ttft: From the request to its first event (``variable``).
        tpot: From a token to the next (``variable``).
        seed: Makes delays and errors of a process repeatable (``variable``).
        max_concurrency: Requests served at once by a process; others wait for their
            turn. 0 is no bound (``variable``).
        error_rate: Part of the requests that fail, 0 to 1 (``variable``).
        error_status: HTTP status of those.

    Raises:
        ConfigError: A value out of its range.
    """

    host: str = "127.0.0.1"
    port: int = 0
    insecure: bool = False
    mode: Mode = "max"
    model: str = "echo"
    output_length: int = 160
    stream_interval: int = 1
    num_processes: int = 0
    cert_file: str | None = None
    key_file: str | None = None
    max_body_bytes: int = 128 << 20
    echo: bool = False
    ttft: Delay = Delay()
    tpot: Delay = Delay()
    seed: int | None = None
    max_concurrency: int = 0
    error_rate: float = 0.0
    error_status: int = 503

    def __post_init__(self) -> None:
        for name, low, high in (
            ("port", 0, 65535),
            ("output_length", 1, 1 << 24),
            ("stream_interval", 1, 1 << 24),
            ("num_processes", 0, 1024),
            ("max_body_bytes", 1, 1 << 40),
            ("max_concurrency", 0, 1 << 31),
            ("error_rate", 0, 1),
            ("error_status", 400, 599),
        ):
            if not low <= (value := getattr(self, name)) <= high:
                msg = f"{name} is {value}; it must be from {low} to {high}"
                raise ConfigError(msg)
        if (self.cert_file is None) != (self.key_file is None):
            msg = "TLS needs both cert_file and key_file"
            raise ConfigError(msg)
        if self.mode == "max":
            self._refuse_variable_settings()

    def _refuse_variable_settings(self) -> None:
        default = {"echo": False, "max_concurrency": 0, "error_rate": 0.0}
        for name, value in (*default.items(), ("ttft", Delay()), ("tpot", Delay())):
            if getattr(self, name) != value:
                msg = f"{name} has no effect in the mode 'max'; use 'variable'"
                raise ConfigError(msg)
