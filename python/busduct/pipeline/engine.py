"""The engine: text in, text out, through a scheduler and a detokenizer."""

import asyncio
import warnings
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Self

from busduct.errors import ClosedError, EngineDeadError
from busduct.pipeline._runtime import EngineRuntime
from busduct.pipeline._types import (
    EngineConfig,
    EngineHealth,
    EngineStatus,
    GenerateOutput,
    SamplingParams,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from busduct.pipeline.port_args import PortArgs

__all__ = ["Engine"]


class Engine:
    """Generate text with a model that runs in processes of its own.

    An async context manager; belongs to the running loop that started it. What it
    starts ends with it, even when this process is killed.

    NB: start it from a thread that lives as long as the engine: the kernel ends the
    processes with the thread that started them.
    """

    def __init__(self, config: EngineConfig | None = None) -> None:
        self.config = EngineConfig() if config is None else config
        self._runtime: EngineRuntime | None = None
        self._last_runtime: EngineRuntime | None = None
        self._lock = asyncio.Lock()
        self._starting = False
        self._refusing = True
        self._hurry = asyncio.Event()

    @property
    def model_name(self) -> str:
        """What callers know the model by; raises as `tokenizer`."""
        return self._known().model.name

    @property
    def context_length(self) -> int:
        """Tokens that the model takes, prompt and text together; as `tokenizer`."""
        return self._known().manager.context_length

    @property
    def tokenizer(self) -> "Tokenizer":
        """The model's tokenizer, of the `tokenizers` library.

        Raises:
            ClosedError: The engine was never started.
        """
        return self._known().model.tokenizer

    @property
    def port_args(self) -> "PortArgs":
        """The endpoints of this engine's processes; raises as `tokenizer`."""
        return self._known().ports

    async def start(self) -> None:
        """Start the processes and wait until both are ready. Idempotent.

        Cancelled, it ends what it had started. A stopped engine can be started again.

        Raises:
            WorkerStartError: A process ended, or was not ready in `start_timeout`; the
                text holds the last lines that it wrote to its standard error.
            ConfigError: There is no such model, or its tokenizer is not byte-level.
            ImportError: The extra ``busduct[model]`` is not installed.
        """
        async with self._lock:
            if self._runtime is not None:
                return
            self._starting = True
            try:
                self._runtime = await EngineRuntime.start(self.config)
                self._last_runtime = self._runtime
            finally:
                self._starting = False
            self._hurry.clear()
            self._refusing = False

    async def stop(self, drain: bool = True) -> None:
        """End the processes. Idempotent.

        A call without `drain` ends the waiting of one with it. Cancelled, the processes
        are killed.

        Args:
            drain: Let requests finish, for `drain_timeout` at most; what is left then,
                or at once without it, ends with `ClosedError`. New ones are refused.
        """
        self._refusing = True
        if not drain:
            self._hurry.set()
        async with self._lock:
            runtime = self._runtime
            if runtime is None:
                return
            try:
                await runtime.drain(self.config.drain_timeout, self._hurry)
                if runtime.manager.num_running:
                    runtime.manager.fail_all(lambda: ClosedError("engine"))
                await runtime.stop(self.config.stop_grace)
            finally:
                runtime.kill()
                self._runtime = None

    async def generate(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        rid: str | None = None,
    ) -> AsyncGenerator[GenerateOutput, None]:
        """Stream the text of one request; the last piece has a `finish_reason`.

        Nothing happens, and nothing is raised, before the first `anext`. Closing the
        generator, or cancelling the task that waits on it, aborts the request. A slow
        reader loses nothing: pieces it did not take are joined.

        Args:
            prompt: Text, or token ids.
            params: How to sample and when to end.
            rid: An id of up to 128 characters that no running request has; None makes
                one.

        Raises:
            RequestError: Not a request that can be served, by `code`:
                ``context_length_exceeded``, ``invalid_value`` (`param` names the
                field), ``duplicate_rid``, or ``overloaded`` (HTTP 429).
            WorkerDiedError: A process died with this request.
            WorkerError: The model failed on it.
            EngineDeadError: The restarts are used up.
            ClosedError: The engine is not started, or stops.
        """
        runtime = self._runtime
        if runtime is None or self._refusing:
            raise ClosedError("engine")
        if runtime.death is not None:
            raise EngineDeadError(runtime.name, runtime.death)
        async with aclosing(runtime.manager.generate(prompt, params, rid)) as outputs:
            async for output in outputs:
                yield output

    async def complete(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        rid: str | None = None,
    ) -> GenerateOutput:
        """Return the whole text of one request.

        Cancelling aborts the request. Raises as `generate`.
        """
        texts: list[str] = []
        token_ids: list[int] = []
        async with aclosing(self.generate(prompt, params, rid=rid)) as outputs:
            async for output in outputs:
                texts.append(output.text)
                token_ids += output.token_ids
        return GenerateOutput(
            rid=output.rid,
            text="".join(texts),
            token_ids=token_ids,
            finish_reason=output.finish_reason,
            prompt_tokens=output.prompt_tokens,
            completion_tokens=output.completion_tokens,
        )

    async def abort(self, rid: str) -> None:
        """End a request; its generator's last piece has the reason ``"abort"``.

        An unknown id is ignored: the request may have ended by itself.
        """
        if self._runtime is not None:
            self._runtime.manager.abort(rid)

    def health(self) -> EngineHealth:
        """Return how the engine and its processes stand. Cheap; asks nobody."""
        runtime = self._runtime
        if runtime is None or self._refusing:
            status: EngineStatus = "starting" if self._starting else "stopped"
        else:
            status = runtime.status()
        return EngineHealth(
            status=status,
            processes=() if runtime is None else runtime.processes(),
            num_running=0 if runtime is None else runtime.manager.num_running,
            last_error=None if runtime is None else runtime.last_error,
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.stop()

    def __del__(self) -> None:
        if getattr(self, "_runtime", None) is not None:
            warnings.warn(
                f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self
            )

    def _known(self) -> EngineRuntime:
        # Replies that are written while the engine stops still name their model.
        if self._last_runtime is None:
            raise ClosedError("engine")
        return self._last_runtime
