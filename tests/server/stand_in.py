"""An engine without processes, whose prompts say what shall happen to them."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Sequence

from busduct.errors import EngineDeadError, RequestError, WorkerDiedError
from busduct.pipeline import (
    EngineHealth,
    GenerateOutput,
    ProcessHealth,
    SamplingParams,
)

FAILURES = {
    "too long": RequestError(
        "prompt of 9 tokens exceeds context of 8 tokens",
        code="context_length_exceeded",
        param="prompt",
    ),
    "overloaded": RequestError("16 requests wait already", code="overloaded"),
    "internal": RequestError("the model failed", code="internal_error"),
    "worker dies": WorkerDiedError("scheduler", -9),
    "dead": EngineDeadError("embedded", "restarts are used up"),
    "bug": ZeroDivisionError("secret detail"),
}


class StandInEngine:
    """Answer with `` w0 w1 w2 ...``, one word per token.

    The prompt ``"hold"`` gives one word and then waits until the request is aborted;
    ``"fail: X"`` ends with `FAILURES[X]`, ``"break: X"`` does so after one word.
    """

    def __init__(self) -> None:
        self.model_name = "stand-in"
        self.context_length = 8
        self.status = "ok"
        self.asked: list[tuple[str | Sequence[int], SamplingParams]] = []
        self._running: set[str] = set()
        self._changed = threading.Condition()

    async def start(self) -> None:
        """Be ready at once."""

    async def stop(self, drain: bool = True) -> None:
        """Have nothing to end."""

    async def generate(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        rid: str | None = None,
    ) -> AsyncGenerator[GenerateOutput, None]:
        assert rid is not None
        self.asked.append((prompt, params))
        self._set_running(rid, True)
        try:
            text = prompt if isinstance(prompt, str) else "ids"
            if text.startswith("fail: "):
                raise FAILURES[text.removeprefix("fail: ")]
            for count in range(1, params.max_tokens + 1):
                # As a real engine does, between one piece and the next.
                await asyncio.sleep(0)
                last = count == params.max_tokens
                yield GenerateOutput(
                    rid, f" w{count - 1}", [count], "length" if last else None, 3, count
                )
                if text.startswith("break: "):
                    raise FAILURES[text.removeprefix("break: ")]
                if text == "hold":
                    await asyncio.Event().wait()
        finally:
            self._set_running(rid, False)

    def health(self) -> EngineHealth:
        process = ProcessHealth("scheduler", 1, self.status == "ok", 0)
        return EngineHealth(
            status=self.status,  # type: ignore[arg-type]
            processes=(process,),
            num_running=len(self._running),
            last_error=None,
        )

    def wait_running(self, count: int, timeout: float = 50.0) -> bool:
        """Wait in another thread until this many requests run."""
        deadline = time.monotonic() + timeout
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self._running) == count, deadline - time.monotonic()
            )

    def _set_running(self, rid: str, runs: bool) -> None:
        with self._changed:
            (self._running.add if runs else self._running.discard)(rid)
            self._changed.notify_all()
