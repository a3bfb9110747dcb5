"""What the caller's side holds of one request."""

import asyncio
from dataclasses import dataclass, field

from busduct.errors import BusductError
from busduct.pipeline._types import FinishReason, GenerateOutput

__all__ = ["RunningRequest"]


@dataclass(slots=True, eq=False)
class RunningRequest:
    """A request that runs, and what its reader has not taken yet.

    The text waits in one piece, so a slow reader costs its text and no more.
    """

    rid: str
    wire_rid: str
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: BusductError | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.finish_reason is not None or self.error is not None

    def take(self) -> GenerateOutput | None:
        """Return the piece that waits; raise the error behind it, if any."""
        self.wake.clear()
        if not self.token_ids and self.finish_reason is None:
            if self.error is not None:
                raise self.error
            return None
        output = GenerateOutput(
            rid=self.rid,
            text=self.text,
            token_ids=self.token_ids,
            finish_reason=self.finish_reason,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )
        self.text, self.token_ids = "", []
        if self.error is not None:
            self.wake.set()
        return output
