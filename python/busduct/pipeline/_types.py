"""What callers of the engine hand in and get back."""

import math
from typing import Literal, TypeAlias

import msgspec

from busduct.errors import ConfigError, RequestError

__all__ = [
    "EngineConfig",
    "EngineHealth",
    "EngineStatus",
    "FinishReason",
    "GenerateOutput",
    "ProcessHealth",
    "SamplingParams",
]

FinishReason: TypeAlias = Literal["stop", "length", "abort"]
EngineStatus: TypeAlias = Literal["starting", "ok", "degraded", "dead", "stopped"]

MAX_STOP_STRINGS = 16
MAX_STOP_CHARS = 1024
MAX_TEMPERATURE = 100.0


class SamplingParams(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """How the tokens of one request are chosen and when it ends.

    Attributes:
        max_tokens: Tokens generated at most, at least 1. The end of the model's context
            ends a request earlier, with the same reason ``"length"``.
        temperature: 0 takes the most likely token; up to 100.
        top_p: Sample from the smallest set of tokens whose probability reaches this;
            above 0, up to 1 (off).
        top_k: Sample from this many tokens; 0 is off.
        seed: The same seed gives the same choices whatever else runs; None draws one.
        stop: Up to 16 strings that end the text; they are not part of it.
        ignore_eos: Go on after the model's end-of-sequence token.

    Raises:
        RequestError: A value out of its range; `code` is ``"invalid_value"`` and
            `param` names the field.
    """

    max_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        _require_int("max_tokens", self.max_tokens, 1)
        _require_int("top_k", self.top_k, 0)
        if self.seed is not None:
            _require_int("seed", self.seed, -(2**63))
        _require_number("temperature", self.temperature)
        if not 0 <= self.temperature <= MAX_TEMPERATURE:
            _refuse("temperature", self.temperature, f"0 to {MAX_TEMPERATURE:g}")
        _require_number("top_p", self.top_p)
        if not 0 < self.top_p <= 1:
            _refuse("top_p", self.top_p, "above 0, up to 1")
        _require_stops(self.stop)


class GenerateOutput(msgspec.Struct, frozen=True):
    """A piece of one request's text, or the whole of it.

    Attributes:
        rid: The request's id, as the caller gave or got it.
        text: What is new since the last piece; never half a character.
        token_ids: The tokens since the last piece. Held-back text (half a character, or
            what may become a stop string) delays its tokens with it.
        finish_reason: None but in the last piece.
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens generated so far.
    """

    rid: str
    text: str
    token_ids: list[int]
    finish_reason: FinishReason | None
    prompt_tokens: int
    completion_tokens: int


class EngineConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Settings of an engine.

    Attributes:
        model_path: Directory of the model, with its ``tokenizer.json``; None is the one
            that ships with the package.
        model_name: What `Engine.model_name` says; None takes the directory's name, and
            ``"busduct-austen"`` for the embedded model.
        runner: ``"module:Class"`` whose ``load(path, max_batch_size=...)`` returns the
            `ModelRunner`; imported in the scheduler's process.
        max_batch_size: Requests that run at once.
        max_batch_tokens: Tokens of one forward step, prompts and new ones together; at
            least `max_batch_size`.
        max_waiting: Requests that wait for a place in the batch; one more ends with
            `RequestError` of code ``"overloaded"``.
        start_timeout: Seconds a process may take to become ready.
        drain_timeout: Seconds that `Engine.stop` lets requests finish.
        stall_timeout: Seconds between the signs of life that each process must give
            while requests run; one that gives none is killed and started again. No
            step of the model may take longer.
        stop_grace: Seconds between asking a process to end and killing it.
        max_restarts: Restarts of processes within `restart_window`; at the next death
            the engine is dead.
        restart_window: Seconds.
        runtime_dir: Directory for the sockets; None is ``$XDG_RUNTIME_DIR/busduct``, or
            one of ours in the temporary directory.
        seed: Makes requests without a seed reproducible too; None draws one.

    Raises:
        ConfigError: A value out of its range.
    """

    model_path: str | None = None
    model_name: str | None = None
    runner: str = "busduct.pipeline.runners:NumpyModelRunner"
    max_batch_size: int = 16
    max_batch_tokens: int = 2048
    max_waiting: int = 1024
    start_timeout: float = 30.0
    drain_timeout: float = 30.0
    stall_timeout: float = 30.0
    stop_grace: float = 2.0
    max_restarts: int = 3
    restart_window: float = 60.0
    runtime_dir: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        least = {
            "max_batch_size": 1,
            "max_batch_tokens": self.max_batch_size,
            "max_waiting": 0,
            "max_restarts": 0,
        }
        for name, minimum in least.items():
            if getattr(self, name) < minimum:
                msg = f"{name} is {getattr(self, name)}; it must be at least {minimum}"
                raise ConfigError(msg)
        if not 0 < self.stall_timeout < math.inf:
            msg = f"stall_timeout is {self.stall_timeout}; it must be finite, above 0"
            raise ConfigError(msg)
        for name in ("start_timeout", "drain_timeout", "stop_grace", "restart_window"):
            if not 0 <= getattr(self, name) < math.inf:
                msg = (
                    f"{name} is {getattr(self, name)}; it must be finite and at least 0"
                )
                raise ConfigError(msg)
        module, _, attribute = self.runner.partition(":")
        if not module or not attribute:
            msg = f"runner is {self.runner!r}; it must be 'module:Class'"
            raise ConfigError(msg)


class ProcessHealth(msgspec.Struct, frozen=True):
    """One process of an engine.

    Attributes:
        name: ``"scheduler"`` or ``"detokenizer"``.
        pid: Of the process that runs, or ran last; None before the first.
        alive: It runs and has reported that it is ready.
        num_restarts: Times it was started again.
    """

    name: str
    pid: int | None
    alive: bool
    num_restarts: int


class EngineHealth(msgspec.Struct, frozen=True):
    """An engine as it stands.

    Attributes:
        status: ``"degraded"`` while a process that died is started again: new requests
            wait. ``"dead"`` once the restarts are used up: requests end with
            `EngineDeadError`.
        processes: The scheduler and the detokenizer.
        num_running: Requests accepted and not ended.
        last_error: What ended the process that died last, or None.
    """

    status: EngineStatus
    processes: tuple[ProcessHealth, ...]
    num_running: int
    last_error: str | None


def _refuse(param: str, value: object, allowed: str) -> None:
    msg = f"{param} is {value!r}; it must be {allowed}"
    raise RequestError(msg, code="invalid_value", param=param)


def _require_int(param: str, value: object, minimum: int) -> None:
    # bool is an int to Python, and True would pass for a max_tokens of 1.
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(param, value, "an integer")
    elif not minimum <= value < 2**63:
        _refuse(param, value, f"an integer from {minimum} to 2**63 - 1")


def _require_number(param: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _refuse(param, value, "a number")


def _require_stops(stops: object) -> None:
    if not isinstance(stops, tuple) or len(stops) > MAX_STOP_STRINGS:
        _refuse("stop", stops, f"a tuple of up to {MAX_STOP_STRINGS} strings")
        return
    for stop in stops:
        if not isinstance(stop, str) or not 0 < len(stop) <= MAX_STOP_CHARS:
            _refuse("stop", stop, f"strings of 1 to {MAX_STOP_CHARS} characters")
        elif not _is_unicode(stop):
            _refuse("stop", stop, "valid Unicode")


def _is_unicode(text: str) -> bool:
    """Whether the text can be encoded: JSON lets half a surrogate pair through."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
