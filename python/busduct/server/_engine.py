"""What the HTTP service asks of an engine."""

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from busduct.pipeline import EngineHealth, GenerateOutput, SamplingParams

__all__ = ["TextEngine"]


class TextEngine(Protocol):
    """The part of `busduct.pipeline.Engine` that the service uses."""

    @property
    def model_name(self) -> str:
        """The one model's name; known once started."""

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together; known once started."""

    async def start(self) -> None:
        """Become ready; cancelling ends what was started."""

    async def stop(self, drain: bool = True) -> None:
        """End; without `drain`, running requests end with `ClosedError` at once."""

    def generate(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        rid: str | None = None,
    ) -> AsyncGenerator[GenerateOutput, None]:
        """Stream one request's pieces; closing the generator aborts the request."""

    def health(self) -> EngineHealth:
        """Return how it stands, without asking anybody."""
